import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// A client's socket that sends Finished of TLS 1.2 in two records.
private final class SplittingSocket: HandshakeSocket {
    override func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        let rest = bytes.count - Self.finishedSize
        guard rest >= 0, bytes[rest] == RecordType.handshake, bytes[rest + 4] == 40,
            let keys = secrets.keys(of: .client, keySize: 16),
            var opening = RecordProtection.explicit(.aes128, isSealing: false, keys, lastNonce: 0, sequence: 0),
            var sealing = RecordProtection.explicit(.aes128, isSealing: true, keys, lastNonce: 76, sequence: 0)
        else { return super.write(bytes) }
        let record = Array(bytes[rest...])
        var message = [UInt8](repeating: 0, count: 40)
        let opened = message.withUnsafeMutableBufferPointer { room in
            room.baseAddress.flatMap { opening.open(record.span, into: $0) }
        }
        #expect(opened?.count == 16)
        var sent = Array(bytes[..<rest])
        for piece in [message[..<5], message[5..<16]] {
            var room = [UInt8](repeating: 0, count: piece.count + sealing.overhead)
            let count = piece.withUnsafeBufferPointer { piece in
                room.withUnsafeMutableBufferPointer { room in
                    room.baseAddress.flatMap { sealing.seal(RecordType.handshake, piece, into: $0) }
                }
            }
            #expect(count == room.count)
            sent += room
        }
        _ = sent.withUnsafeBufferPointer { super.write($0) }
        return .bytes(bytes.count)
    }
}

/// The library's client, which leaves its keys to the test once it has shaken hands with a server of ours.
private final class KeyedClient {
    private var server: TLSConnection
    private let own: FileDescriptor
    private let peer: FileDescriptor
    private let context: OpaquePointer
    private var sealing: RecordProtection
    private var opening: RecordProtection
    private var input: [UInt8] = []
    private let pool = BufferPool(keep: 4)

    /// - Parameter splits: whether Finished goes out in two records.
    init(_ table: ServerNameTable, _ version: CInt, splits: Bool = false) throws {
        let pair = try SocketPair()
        own = FileDescriptor(owning: pair.second)
        peer = FileDescriptor(owning: pair.first)
        self.server = try TLSConnection(accepting: table, descriptor: pair.second)
        context = try #require(SSL_CTX_new(TLS_client_method()))
        #expect(everyhop_ctx_set_versions(context, version, version) == 1)
        revealKeys(of: context)
        let socket =
            splits
            ? SplittingSocket(descriptor: pair.first, pool: pool)
            : HandshakeSocket(descriptor: pair.first, pool: pool)
        let ssl = try #require(SSL_new(context))
        let bio = try #require(socket.makeBIO())
        SSL_set_bio(ssl, bio, bio)
        socket.secrets.countRecords(of: ssl)
        SSL_set_connect_state(ssl)
        for _ in 0..<10 {
            let isDone = socket.secrets.collect { SSL_do_handshake(ssl) } == 1
            let (goesOn, error) = Link.step(&self.server)
            #expect(error == nil)
            if isDone, !goesOn { break }
        }
        defer { SSL_free(ssl) }
        let secrets = socket.secrets
        let isModern = version == TLS1_3_VERSION
        let cipher = try #require(RecordCipher(of: SSL_get_current_cipher(ssl)))
        let keySize = cipher.keySize
        let client = try #require(isModern ? secrets.keys(of: .client) : secrets.keys(of: .client, keySize: keySize))
        let server = try #require(isModern ? secrets.keys(of: .server) : secrets.keys(of: .server, keySize: keySize))
        // Behind its head, Finished shows its nonce.
        let nonce = socket.lastWritten.dropFirst(5).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        func make(_ keys: TrafficSecrets.Keys, _ isSealing: Bool) -> RecordProtection? {
            isModern
                ? .modern(cipher, isSealing: isSealing, keys, sequence: 0)
                : .explicit(
                    cipher,
                    isSealing: isSealing,
                    keys,
                    lastNonce: isSealing && splits ? 78 : nonce,
                    sequence: isSealing && splits ? 2 : 1
                )
        }
        guard let sealing = make(client, true), let opening = make(server, false) else { throw Stuck() }
        self.sealing = sealing
        self.opening = opening
    }

    deinit { SSL_CTX_free(context) }

    var serverCarriesItself: Bool { server.carriesItself }

    func send(_ type: UInt8, _ content: [UInt8]) {
        let record = sealing.sealed(type, content)
        #expect(!record.isEmpty && Glibc.write(peer.raw, record, record.count) == record.count)
    }

    /// Whether the server reads on, and what it has read.
    func serverReads() -> (Bool, [UInt8]) {
        var queue = ByteQueue(pool: pool)
        for _ in 0..<100 {
            do throws(TLSError) {
                switch try server.read(into: &queue) {
                case .bytes: continue
                case .wantsRead: return (true, take(&queue))
                case .wantsWrite, .closed, .truncated: return (false, take(&queue))
                }
            } catch { break }
        }
        return (false, take(&queue))
    }

    /// The alerts that the server has said.
    func alerts() -> [[UInt8]] {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(peer.raw, &room, room.count)
        if count > 0 { input += room.prefix(count) }
        var alerts: [[UInt8]] = []
        while let header = RecordHeader(input.span), input.count >= RecordHeader.size + header.length {
            let record = Array(input.prefix(RecordHeader.size + header.length))
            input.removeFirst(record.count)
            let opened = room.withUnsafeMutableBufferPointer { room in
                room.baseAddress.flatMap { opening.open(record.span, into: $0) }
            }
            guard let opened else { return alerts + [[]] }
            if opened.type == RecordType.alert { alerts.append(Array(room.prefix(opened.count))) }
        }
        return alerts
    }
}

@Suite("Alerts as the library says them") struct SameAlertTests {
    private static let zeros = [UInt8](repeating: 0, count: 16_385)

    /// What a client says once it has shaken hands.
    private static let records: [(version: CInt, list: [(UInt8, [UInt8])])] =
        modern.map { (TLS1_3_VERSION, $0) } + old.map { (TLS1_2_VERSION, $0) }

    private static let modern: [[(UInt8, [UInt8])]] = [
        [(22, [4, 0, 0, 1, 0])], [(22, [1, 0, 0, 1, 0])], [(22, [20, 0, 0, 1, 0])], [(22, [13, 0, 0, 1, 0])],
        [(22, [])],
        [(22, [24, 0, 0, 2, 0, 0])], [(22, [24, 0, 0, 0])], [(22, [24, 0, 0, 1, 2])], [(22, [24, 0, 0, 1, 0, 24])],
        [(22, [24, 0, 0, 1, 0])], [(22, [24, 0, 0, 1, 1])],
        [(22, [24, 0]), (23, [1])], [(22, [24, 0]), (21, [1, 0])], [(22, [24]), (22, [])],
        [(0, [])], [(20, [1])], [(24, [1, 0, 0])], [(99, [1])],
        [(21, [])], [(21, [1])], [(21, [1, 0, 0])], [(21, [1, 0])], [(21, [2, 0])], [(21, [3, 0])], [(21, [1, 90])],
        [(21, [2, 90])], [(21, [1, 100])], [(21, [1, 40])], [(21, [2, 40])], [(21, [1, 200])],
        [(21, [1, 90]), (21, [1, 90]), (23, [1]), (21, [1, 90])],
        [(23, [])], [(23, zeros)], [(23, [1]), (21, [1, 0])],
    ]

    /// The library lets pass what RFC 5246 forbids and we refuse: a handshake record without content, data inside a message.
    private static let old: [[(UInt8, [UInt8])]] = [
        [(22, [20, 0, 0, 1, 0])], [(22, [24, 0, 0, 1, 0])], [(22, [0, 0, 0, 0])], [(22, [2, 0, 0, 0])],
        [(22, [1, 0, 0, 2, 3, 3])],
        [(20, [1])], [(24, [1, 0, 0])], [(99, [1])],
        [(21, [])], [(21, [1])], [(21, [1, 0, 0])], [(21, [3, 0])], [(21, [1, 0])], [(21, [2, 0])],
        [(21, [1, 110])], [(21, [1, 90])], [(21, [1, 100])], [(21, [2, 40])], [(21, [1, 200])], [(21, [3, 200])],
        [(23, [])], [(23, zeros)], [(23, [1]), (21, [1, 0])],
    ]

    @Test(arguments: records.indices) func `a peer hears and can do the same`(_ index: Int) throws {
        let root = try Authority()
        let (version, records) = Self.records[index]
        var seen: [String] = []
        for (isOwn, shakesHands) in [(true, true), (true, false), (false, false)] {
            let table = try makeTable([try root.identity()], shakesHands: shakesHands)
            if isOwn { revealKeys(of: table) }
            let client = try KeyedClient(table, version)
            #expect(client.serverCarriesItself == isOwn)
            for (type, content) in records { client.send(type, content) }
            let (goesOn, read) = client.serverReads()
            seen.append("goes on: \(goesOn), read: \(read), said: \(client.alerts())")
        }
        #expect(seen[0] == seen[2] && seen[1] == seen[2], "\(records)")
    }

    @Test(arguments: Carrier.allCases.filter { $0.version == TLS1_2_VERSION })
    func `Finished of TLS 1.2 may come in pieces`(_ carrier: Carrier) throws {
        let table = try makeTable([try Authority().identity()], shakesHands: carrier.shakesHands)
        if carrier.isOwn { revealKeys(of: table) }
        let client = try KeyedClient(table, TLS1_2_VERSION, splits: true)
        #expect(client.serverCarriesItself == carrier.isOwn)
        client.send(23, [1, 2, 3])
        #expect(client.serverReads() == (true, [1, 2, 3]))
    }
}
