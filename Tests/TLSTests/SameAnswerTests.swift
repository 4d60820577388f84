import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

@Suite("Hellos that are changed") struct SameAnswerTests {
    /// What a server says to a hello: an alert, or its choices.
    private func answer(_ hello: [UInt8], _ table: ServerNameTable) throws -> String {
        let server = try BareServer(table)
        server.send(hello)
        let (goesOn, error) = Link.step(&server.tls)
        let said = server.received()
        guard said.count > 5 else { return "nothing, goes on: \(goesOn), \(error.map { "\($0)" } ?? "")" }
        if said[0] == RecordType.alert { return "alert \(said[5...].prefix(2))" }
        guard said.count > 76 else { return "short" }
        // Record (5), message (4), version (2), random (32), a session's number, the suite.
        let place = 44 + Int(said[43])
        return "suite \(said[place..<(place + 2)])"
    }

    /// The first bytes of a client.
    private func hello(_ context: ClientContext) throws -> [UInt8] {
        let pair = try SocketPair()
        let own = FileDescriptor(owning: pair.first)
        let other = FileDescriptor(owning: pair.second)
        var client = try TLSConnection(connecting: context, endpoint: 0, descriptor: own.raw)
        #expect(Link.step(&client) == (true, nil))
        var room = [UInt8](repeating: 0, count: 8192)
        let count = Glibc.read(other.raw, &room, room.count)
        return Array(room.prefix(max(count, 0)))
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION], [1, 0xFF] as [UInt8])
    func `each byte leads where it leads the library`(_ version: CInt, _ change: UInt8) throws {
        let root = try Authority()
        let identities = [try root.identity(), try root.identity(key: .rsa)]
        let tables = try [true, false].map { try makeTable(identities, alpn: ["h2", "http/1.1"], shakesHands: $0) }
        let whole = try hello(try makeClient(root, alpn: ["h2"], version: version))
        #expect(whole.count > 150)
        for place in whole.indices {
            var changed = whole
            changed[place] ^= change
            let answers = try tables.map { try answer(changed, $0) }
            #expect(answers[0] == answers[1], "byte \(place) of \(whole)")
        }
    }
}
