import Glibc
import Platform
import TLS

/// A relay between everyhop and a server that keeps what everyhop sent, connection by connection, byte for byte.
public final class Tap: @unchecked Sendable {
    /// Where everyhop dials.
    public var port: UInt16 { server?.port ?? 0 }
    private let recorded = Shared<[[UInt8]]>([])
    private var server: ScriptedServer?

    /// How many bytes of the server pass on each connection from now on, before it is cut; nil for all of them.
    public let budget = Shared<Int?>(nil)

    /// Begins to relay to a server on loopback.
    ///
    /// - Parameter pieces: whether each byte is passed on alone.
    public init(to port: UInt16, inPieces pieces: Bool = false) throws {
        let recorded = self.recorded
        let budget = self.budget
        server = try ScriptedServer(certificate: nil) { client in
            let server = try Connection(to: port, nil)
            let index = recorded.with {
                $0.append([])
                return $0.count - 1
            }
            let back = Shared(false)
            let link = Link(client: client, server: server)
            TestThread.start {
                var left = budget.value ?? .max
                while left > 0, let bytes = try? link.server.receive() {
                    let passing = Array(bytes.prefix(left))
                    left -= passing.count
                    guard (try? Self.pass(passing, to: link.client, inPieces: pieces)) != nil else { break }
                }
                link.client.endWriting()
                back.with { $0 = true }
            }
            while let bytes = try? client.receive() {
                recorded.with { $0[index] += bytes }
                guard (try? Self.pass(bytes, to: server, inPieces: pieces)) != nil else { break }
            }
            server.endWriting()
            try waitUntil("the server's end", seconds: 60) { back.value }
        }
    }

    private static func pass(_ bytes: [UInt8], to connection: Connection, inPieces pieces: Bool) throws {
        guard pieces else { return try connection.send(bytes) }
        for byte in bytes { try connection.send([byte]) }
    }

    /// What everyhop sent, by connection.
    public var connections: [[UInt8]] { recorded.value }

    /// What follows `prefix`, if all of it is TLS records; nil, if anything else is in it.
    public static func records(in bytes: some Sequence<UInt8>, after prefix: Int) -> [[UInt8]]? {
        var rest = Array(bytes)[...].dropFirst(prefix)
        var records: [[UInt8]] = []
        while !rest.isEmpty {
            let head = Array(rest.prefix(5))
            guard head.count == 5, (0x14...0x17).contains(head[0]), head[1] == 3 else { return nil }
            let length = Int(head[3]) << 8 | Int(head[4])
            guard rest.count >= 5 + length else { return nil }
            records.append(Array(rest.prefix(5 + length)))
            rest = rest.dropFirst(5 + length)
        }
        return records
    }

    private final class Link: @unchecked Sendable {
        let client: Connection
        let server: Connection
        init(client: Connection, server: Connection) {
            self.client = client
            self.server = server
        }
    }
}
