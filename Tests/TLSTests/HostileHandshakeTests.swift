import COpenSSL
import Testing

@testable import TLS

@Suite("Clients that shake hands in their own way") struct HostileHandshakeTests {
    private typealias Piece = LastFlight.Piece
    private static let changed = (UInt8(20), [1] as [UInt8])

    /// Finished of TLS 1.3, and what may come instead of it, before it, and inside it.
    private static func modern(_ real: [UInt8]) -> [[Piece]] {
        let ccs = Piece.plain(20, [1])
        var wrong = real
        wrong[10] ^= 1
        return [
            [.sealed(22, real)], [ccs, .sealed(22, real)], [ccs, ccs, .sealed(22, real)], [.sealed(22, wrong)],
            [.sealed(22, Array(real.dropLast()))], [.sealed(22, real + [0])], [.sealed(22, real + real)],
            [.sealed(22, Array(real[..<1])), .sealed(22, Array(real[1...]))],
            [.sealed(22, Array(real[..<9])), .sealed(22, Array(real[9...]))],
            [.sealed(22, Array(real[..<9])), .sealed(23, [1])],
            [.sealed(22, [])], [.sealed(22, [24, 0, 0, 1, 0])], [.sealed(22, [1, 0, 0, 0])],
            [.sealed(22, [11, 0, 0, 4, 0, 0, 0, 0])],
            [.sealed(22, [20, 0, 0, 0])], [.sealed(22, [20, 0, 1, 0])], [.sealed(22, [20, 0, 0, 33] + real)],
            [.sealed(22, [20, 0, 0, 20] + real.prefix(20))], [.sealed(22, [20])], [.sealed(22, [21])],
            [.sealed(23, [1])], [.sealed(23, [])], [.sealed(0, [])], [.sealed(20, [1])], [.sealed(24, [1, 0, 0])],
            [.sealed(99, [1])], [.sealed(21, [1, 0])], [.sealed(21, [2, 0])], [.sealed(21, [2, 40])],
            [.sealed(21, [1, 40])],
            [.sealed(21, [1, 90]), .sealed(22, real)], [.sealed(21, [1])], [.sealed(21, [])],
            [.sealed(21, [2, 40, 0])],
            [.sealed(22, [UInt8](repeating: 20, count: 16_385))],
            [.plain(21, [2, 40])], [.plain(21, [1, 0])], [.plain(21, [1])], [.plain(21, [2, 48])],
            [.plain(22, real)], [.plain(22, [])], [.plain(23, [UInt8](repeating: 1, count: 17))],
            [.plain(23, [UInt8](repeating: 1, count: 16))], [.plain(23, [])], [.plain(99, [1])],
            [.plain(24, [1, 0, 0])],
            [.bytes([23, 3, 1, 0, 17] + [UInt8](repeating: 1, count: 17))], [.bytes([23, 3, 3, 0x41, 1])],
            [.bytes([23, 3, 3, 0x60, 0])], [.bytes([22])], [.bytes([23, 3, 3, 0])],
            [.bytes("GET / HTTP/1.1\r\n".bytes)],
        ]
    }

    @Test(arguments: 0..<52) func `a client of TLS 1.3 hears what the library says`(_ index: Int) throws {
        let root = try Authority()
        let verdicts = try [true, false].map { shakesHands in
            let table = try makeTable([try root.identity()], shakesHands: shakesHands)
            let client = try LastFlight(table, TLS1_3_VERSION)
            let list = Self.modern(client.finished)
            #expect(list.count == 52)
            client.send(list[index])
            return client.verdict()
        }
        #expect(verdicts[0] == verdicts[1], "\(index)")
    }

    /// The last flight of TLS 1.2: ClientKeyExchange, the word that what follows is encrypted, and Finished.
    private static func older(_ exchange: [UInt8], _ real: [UInt8]) -> [[Piece]] {
        let (key, ccs, done) = (Piece.plain(22, exchange), Piece.plain(20, [1]), Piece.sealed(22, real))
        var wrong = real
        wrong[10] ^= 1
        let zeros = [UInt8](repeating: 0, count: 32)
        return [
            [key, ccs, done], [key, ccs, .sealed(22, wrong)], [key, ccs, .sealed(22, Array(real.dropLast()))],
            [key, ccs, .sealed(22, Array(real[..<5])), .sealed(22, Array(real[5...]))],
            [.plain(22, Array(exchange[..<1])), .plain(22, Array(exchange[1...])), ccs, done],
            [.plain(22, Array(exchange[..<20])), .plain(22, Array(exchange[20...])), ccs, done],
            [.plain(22, Array(exchange[..<20])), ccs, done],
            [ccs, key, done], [ccs, done], [key, done], [key, key, ccs, done],
            [key, .plain(22, real)],
            [key, ccs, .sealed(23, [1])], [key, ccs, .sealed(21, [2, 40])],
            [key, ccs, .sealed(21, [1, 0])], [key, ccs, .sealed(21, [1, 90]), done], [key, ccs, .sealed(20, [1])],
            [key, ccs, .sealed(22, [0, 0, 0, 0])], [key, ccs, .sealed(22, [20, 0, 0, 0])],
            [key, ccs, .sealed(22, [20, 0, 1, 0])],
            [key, ccs, .sealed(22, [1, 0, 0, 0])],
            [key, ccs, .bytes([22, 3, 3, 0, 40] + [UInt8](repeating: 1, count: 40))],
            [key, ccs, .bytes([22, 3, 1, 0, 40])],
            [key, .plain(20, [2])], [key, .plain(20, [1, 1])], [key, .plain(23, [1])],
            [key, .plain(99, [1])], [.plain(23, [1])], [.plain(99, [1])], [.plain(24, [1, 0, 0])],
            [.plain(21, [2, 40])], [.plain(21, [1, 0])], [.plain(21, [1, 90]), key, ccs, done], [.plain(21, [1])],
            [.plain(21, [3, 90])], [.plain(21, [1, 100])], [.plain(21, [2, 48])],
            [.plain(22, [16, 0, 0, 2, 32, 1])], [.plain(22, [16, 0, 9, 0])],
            [.plain(22, [11, 0, 0, 3, 0, 0, 0])], [.plain(22, [20, 0, 0, 12] + real.dropFirst(4))],
            [.plain(22, [1, 0, 0, 0])],
            [.bytes([22, 3, 1, 0, 1, 16])], [.bytes([22])],
            [.bytes("GET / HTTP/1.1\r\n".bytes)],
            [key, .bytes([20, 3, 3])], [.plain(22, [16, 0, 0, 34, 32, 1] + zeros)],
        ]
    }

    @Test(arguments: 0..<47) func `a client of TLS 1.2 hears what the library says`(_ index: Int) throws {
        let root = try Authority()
        let verdicts = try [true, false].map { shakesHands in
            let table = try makeTable([try root.identity()], shakesHands: shakesHands)
            let client = try LastFlight(table, TLS1_2_VERSION)
            let list = Self.older(client.keyExchange, client.finished)
            #expect(list.count == 47)
            client.send(list[index])
            return client.verdict()
        }
        #expect(verdicts[0] == verdicts[1], "\(index)")
    }

    // MARK: stricter than the library, or clearer

    /// RFC 8446 §5; the library says "illegal parameter".
    @Test(arguments: [[2], [1, 1], []] as [[UInt8]])
    func `the word without meaning of TLS 1.3 is that word`(_ content: [UInt8]) throws {
        let client = try LastFlight(try makeTable([try Authority().identity()]), TLS1_3_VERSION)
        client.send([.plain(20, content)])
        #expect(client.verdict() == "refused, said [\"[2, 10]\"]")
    }

    @Test func `an alert does not come inside a message`() throws {
        let table = try makeTable([try Authority().identity()])
        let modern = try LastFlight(table, TLS1_3_VERSION)
        modern.send([.sealed(22, Array(modern.finished[..<9])), .sealed(21, [1, 0])])
        #expect(modern.verdict() == "refused, said [\"[2, 10]\"]")
        let older = try LastFlight(table, TLS1_2_VERSION)
        older.send([.plain(22, Array(older.keyExchange[..<20])), .plain(21, [1, 90])])
        #expect(older.verdict() == "refused, said [\"[2, 10]\"]")
    }

    /// The library says "internal error" of the first three, waits on after the next two, and calls the last a failure.
    @Test(arguments: 0..<6) func `what TLS 1.2 cannot open or take is called that`(_ index: Int) throws {
        let client = try LastFlight(try makeTable([try Authority().identity()]), TLS1_2_VERSION)
        let (key, ccs) = (Piece.plain(22, client.keyExchange), Piece.plain(20, [1]))
        let (badMAC, unexpected, overflow, undecodable) = (20, 10, 22, 50)
        let list: [([Piece], Int)] = [
            ([key, ccs, ccs], badMAC), ([key, ccs, .plain(22, client.finished)], badMAC),
            ([key, ccs, .bytes([22, 3, 3, 0, 23] + [UInt8](repeating: 1, count: 23))], badMAC),
            ([key, .plain(20, [])], unexpected), ([.bytes([22, 3, 3, 0x41, 1])], overflow),
            ([.plain(22, [16, 0, 0, 0])], undecodable),
        ]
        client.send(list[index].0)
        #expect(client.verdict() == "refused, said [\"[2, \(list[index].1)]\"]")
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `a client that goes in between ends the handshake without a word`(_ version: CInt) throws {
        let client = try LastFlight(try makeTable([try Authority().identity()]), version)
        client.send([.bytes([20, 3, 3, 0])])
        #expect(client.verdict() == "waits, said []")
        client.end()
        #expect(client.verdict() == "refused, said []")
    }
}
