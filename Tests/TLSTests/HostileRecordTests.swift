import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// A server's records, and a client who has the keys and seals whatever it likes.
private final class Sealer {
    private var layer: RecordLayer
    private let own: FileDescriptor
    private let peer: FileDescriptor
    private let socket: HandshakeSocket
    private let isModern: Bool
    private var sealing: RecordProtection
    private var opening: RecordProtection
    private let pool = BufferPool(keep: 2)
    /// The client's and the server's, each of which the next ones come from.
    private let present = (
        UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 8),
        UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 8)
    )

    /// - Parameter written: how many records the server has written before.
    init(_ version: CInt, written: UInt64 = 0) throws {
        let pair = try SocketPair()
        own = FileDescriptor(owning: pair.second)
        peer = FileDescriptor(owning: pair.first)
        socket = HandshakeSocket(descriptor: pair.second, pool: pool)
        isModern = version == TLS1_3_VERSION
        let secrets = socket.secrets
        for (name, fill) in [("c ap traffic", 1), ("s ap traffic", 2)] as [(String, UInt8)] {
            let secret = [UInt8](repeating: fill, count: 32)
            look(secrets, name, [], secret)
            look(secrets, "key", secret, expand(secret, "key", 16))
            look(secrets, "iv", secret, expand(secret, "iv", 12))
        }
        (UInt8(0)..<72).map { $0 }.withUnsafeBytes { secrets.keepBlock($0) }
        let client = try #require(isModern ? secrets.keys(of: .client) : secrets.keys(of: .client, keySize: 16))
        let server = try #require(isModern ? secrets.keys(of: .server) : secrets.keys(of: .server, keySize: 16))
        let isModern = self.isModern
        func make(_ keys: TrafficSecrets.Keys, _ isSealing: Bool, _ sequence: UInt64) -> RecordProtection? {
            isModern
                ? .modern(.aes128, isSealing: isSealing, keys, sequence: sequence)
                : .explicit(.aes128, isSealing: isSealing, keys, lastNonce: 7)
        }
        guard let sealing = make(client, true, 0), let opening = make(server, false, written),
            let reading = make(client, false, 0), let writing = make(server, true, written)
        else { throw Stuck() }
        self.sealing = sealing
        self.opening = opening
        let start = RecordLayer.Start(
            isServer: true,
            isModern: isModern,
            reading: reading,
            writing: writing,
            tickets: nil,
            mostPlain: RecordHeader.mostPlain
        )
        layer = RecordLayer(start, socket)
        present.0.copyBytes(from: [UInt8](repeating: 1, count: 32))
        present.1.copyBytes(from: [UInt8](repeating: 2, count: 32))
    }

    deinit {
        present.0.deallocate()
        present.1.deallocate()
    }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.write(peer.raw, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            sent += count
        }
    }

    func send(_ type: UInt8, _ content: [UInt8]) { send(seal(type, content)) }

    func seal(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        var room = [UInt8](repeating: 0, count: content.count + sealing.overhead)
        let count = content.withUnsafeBufferPointer { content in
            room.withUnsafeMutableBufferPointer { room in
                room.baseAddress.flatMap { sealing.seal(type, content, into: $0) }
            }
        }
        #expect(count == room.count)
        return room
    }

    func updateKeys(isSealing: Bool) {
        #expect(isSealing ? sealing.update(present.0) : opening.update(present.1))
    }

    func read() throws(TLSError) -> (ReadOutcome, [UInt8]) {
        var queue = ByteQueue(pool: pool)
        let outcome = try layer.read(into: &queue, room: 4096)
        return (outcome, take(&queue))
    }

    func write(_ bytes: [UInt8]) throws { #expect(try layer.write(bytes.span) == .bytes(bytes.count)) }

    /// Writes as often as the socket takes it; then a write waits.
    func fill() throws {
        let bytes = [UInt8](repeating: 7, count: 65_536)
        while case .bytes = try layer.write(bytes.span) {}
    }

    /// What a write throws.
    func refusal(of bytes: [UInt8]) -> TLSError? {
        do throws(TLSError) {
            _ = try layer.write(bytes.span)
            return nil
        } catch { return error }
    }

    func shutdown() { layer.shutdown() }

    /// How much memory the server's queues have.
    var held: Int { pool.held }

    /// The next record that the server has sent; nil when there is none.
    func received() -> (type: UInt8, content: [UInt8])? {
        var header = [UInt8](repeating: 0, count: RecordHeader.size)
        guard Glibc.read(peer.raw, &header, header.count) == header.count else { return nil }
        let length = Int(header[3]) << 8 | Int(header[4])
        var record = header + [UInt8](repeating: 0, count: length)
        let rest = record.withUnsafeMutableBytes {
            Glibc.read(peer.raw, $0.baseAddress?.advanced(by: RecordHeader.size), length)
        }
        guard rest == length else { return nil }
        var room = [UInt8](repeating: 0, count: length)
        let opened = room.withUnsafeMutableBufferPointer { room in
            room.baseAddress.flatMap { opening.open(record.span, into: $0) }
        }
        return opened.map { ($0.type, Array(room.prefix($0.count))) }
    }
}

@Suite("Records that are authentic and wrong") struct HostileRecordTests {
    /// Records of TLS 1.3 that are refused at the last of them, by type and content, and the alert.
    private static let refused13: [([(UInt8, [UInt8])], UInt8)] = [
        // A ticket, a hello, Finished, a certificate's request, nothing at all.
        ([(22, [4, 0, 0, 1, 0])], 10), ([(22, [1, 0, 0, 1, 0])], 10), ([(22, [20, 0, 0, 1, 0])], 10),
        ([(22, [13, 0, 0, 1, 0])], 10), ([(22, [])], 10),
        // New keys with too much, too little, neither yes nor no, and with something behind them.
        ([(22, [24, 0, 0, 2, 0, 0])], 47), ([(22, [24, 0, 0, 0])], 50), ([(22, [24, 0, 0, 1, 2])], 47),
        ([(22, [24, 0, 0, 1, 0, 24])], 10),
        // Something else inside a message.
        ([(22, [24, 0]), (23, [1])], 10), ([(22, [24, 0]), (21, [1, 0])], 10), ([(22, [24]), (22, [])], 10),
        // Types that are none, or have no place here; nothing but padding.
        ([(0, [])], 10), ([(20, [1])], 10), ([(24, [1, 0, 0])], 10), ([(99, [1])], 10),
        // Alerts that are none.
        ([(21, [])], 10), ([(21, [1])], 10), ([(21, [1, 0, 0])], 10),
        ([(21, [1, 90])] * 5, 10),
        ([(23, [])] * 33, 10),
        ([(23, [UInt8](repeating: 0, count: 16_385))], 22),
    ]

    /// The same of TLS 1.2.
    private static let refused12: [([(UInt8, [UInt8])], UInt8)] = [
        ([(22, [20, 0, 0, 1, 0])], 10), ([(22, [24, 0, 0, 1, 0])], 10), ([(22, [])], 10), ([(22, [0, 0, 0, 0])], 10),
        ([(22, [1, 0]), (23, [1])], 10),
        ([(22, [1, 2, 0, 1])], 50),
        ([(20, [1])], 10), ([(24, [1, 0, 0])], 10),
        ([(21, [])], 10), ([(21, [1])], 10), ([(21, [1, 0, 0])], 10), ([(21, [3, 0])], 47),
        ([(21, [1, 100])], 40),
        ([(21, [1, 110])] * 5, 10),
        ([(23, [])] * 33, 10),
        ([(23, [UInt8](repeating: 0, count: 16_385))], 22),
    ]

    private func check(_ version: CInt, _ records: [(UInt8, [UInt8])], _ alert: UInt8) throws {
        let sealer = try Sealer(version)
        for (index, record) in records.enumerated() {
            sealer.send(record.0, record.1)
            if index < records.count - 1 {
                #expect(try sealer.read().0 == .wantsRead)
            } else {
                #expect(throws: TLSError.self) { try sealer.read() }
            }
        }
        let answer = sealer.received()
        #expect(answer?.type == 21 && answer?.content == [2, alert], "\(records) \(String(describing: answer))")
    }

    @Test(arguments: refused13.indices) func `TLS 1.3 refuses`(_ index: Int) throws {
        try check(TLS1_3_VERSION, Self.refused13[index].0, Self.refused13[index].1)
    }

    @Test(arguments: refused12.indices) func `TLS 1.2 refuses`(_ index: Int) throws {
        try check(TLS1_2_VERSION, Self.refused12[index].0, Self.refused12[index].1)
    }

    /// What no key is needed for, and the alert.
    @Test(
        arguments: [
            (TLS1_3_VERSION, [20, 3, 3, 0, 1, 1], 10), (TLS1_3_VERSION, [21, 3, 3, 0, 2, 1, 0], 10),
            (TLS1_3_VERSION, [23, 3, 1, 0, 20], 50), (TLS1_3_VERSION, [23, 3, 3, 0, 16], 20),
            (TLS1_3_VERSION, [23, 3, 3, 0x41, 1], 22), (TLS1_2_VERSION, [23, 3, 1, 0, 30], 70),
            (TLS1_2_VERSION, [23, 3, 3, 0, 23], 20), (TLS1_2_VERSION, [23, 3, 3, 0x40, 0x19], 22),
        ] as [(CInt, [UInt8], UInt8)]
    )
    func `a head that cannot be right is refused before the rest has come`(
        _ version: CInt,
        _ bytes: [UInt8],
        _ alert: UInt8
    ) throws {
        let sealer = try Sealer(version)
        sealer.send(bytes)
        #expect(throws: TLSError.self) { try sealer.read() }
        #expect(sealer.received()?.content == [2, alert])
    }

    @Test func `any bent byte of a record is noticed`() throws {
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let length = try Sealer(version).seal(23, [1, 2, 3]).count
            for index in 0..<length {
                let sealer = try Sealer(version)
                var record = sealer.seal(23, [1, 2, 3])
                record[index] ^= 0x10
                sealer.send(record)
                // A length that says more than has come waits for the rest.
                if let outcome = try? sealer.read().0 { #expect(outcome == .wantsRead && (3...4).contains(index)) }
            }
        }
    }

    @Test func `records come in their order or not at all`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        let first = sealer.seal(23, [1])
        let second = sealer.seal(23, [2])
        sealer.send(second + first)
        #expect(throws: TLSError.self) { try sealer.read() }
        let other = try Sealer(TLS1_3_VERSION)
        let record = other.seal(23, [1])
        other.send(record + record)
        #expect(try other.read().1 == [1])
        #expect(throws: TLSError.self) { try other.read() }
    }

    @Test func `an alert says why, and is answered by none`() throws {
        // Making a context does it, too.
        OPENSSL_init_ssl(UInt64(OPENSSL_INIT_LOAD_SSL_STRINGS), nil)
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let sealer = try Sealer(version)
            sealer.send(21, [2, 40])
            #expect(throws: TLSError.handshake("sslv3 alert handshake failure")) { try sealer.read() }
            #expect(sealer.received() == nil)
        }
    }

    @Test func `padding is dropped, and an end is an end whatever follows`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        // Type 23 inside the content, and zeros behind it: RFC 8446 §5.4.
        sealer.send(0, [7, 8, 23, 0, 0, 0])
        #expect(try sealer.read().1 == [7, 8])
        sealer.send(sealer.seal(21, [1, 0]) + sealer.seal(23, [1]))
        #expect(try sealer.read().0 == .closed)
        #expect(try sealer.read().0 == .closed)
    }

    @Test func `new keys may come in pieces, but not without end`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        sealer.send(22, [24, 0, 0])
        sealer.send(22, [1, 1])
        sealer.updateKeys(isSealing: true)
        sealer.send(23, [5])
        #expect(try sealer.read().1 == [5])
        try sealer.write([6])
        #expect(sealer.received()?.content == [24, 0, 0, 1, 0])
        sealer.updateKeys(isSealing: false)
        #expect(sealer.received()?.content == [6])
    }

    @Test func `a peer that asks for new keys gets ours at once, even if there is nothing else to say`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        for _ in 0..<3 {
            sealer.send(22, [24, 0, 0, 1, 1])
            sealer.updateKeys(isSealing: true)
            #expect(try sealer.read().0 == .wantsRead)
            #expect(sealer.received()?.content == [24, 0, 0, 1, 0])
            sealer.updateKeys(isSealing: false)
        }
    }

    @Test func `a peer that asks again and again and reads nothing is not answered each time`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        try sealer.fill()
        let held = sealer.held
        for _ in 0..<30 {
            sealer.send(22, [24, 0, 0, 1, 1])
            sealer.updateKeys(isSealing: true)
            #expect(try sealer.read().0 == .wantsRead)
        }
        #expect(sealer.held == held)
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `nobody gets more memory for a record that is announced than for what has come`(_ version: CInt) throws {
        let sealer = try Sealer(version)
        let record = sealer.seal(23, [UInt8](repeating: 1, count: 16_384))
        for position in 0..<100 {
            sealer.send([record[position]])
            #expect(try sealer.read().0 == .wantsRead)
        }
        #expect(sealer.held == BufferPool.blockSize)
        sealer.send(Array(record[100...]))
        #expect(try sealer.read().0 == .bytes(16_384))
        #expect(sealer.held == 0)
    }

    @Test func `nothing follows a goodbye, neither bytes nor an alert`() throws {
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let sealer = try Sealer(version)
            sealer.shutdown()
            #expect(sealer.received()?.content == [1, 0])
            #expect(sealer.refusal(of: [1]) == .library("a write behind the end of the stream"))
            sealer.send(20, [1])
            #expect(throws: TLSError.self) { try sealer.read() }
            #expect(sealer.received() == nil)
        }
    }

    @Test func `a write that waits is not gone on with by fewer bytes`() throws {
        let sealer = try Sealer(TLS1_3_VERSION)
        try sealer.fill()
        #expect(sealer.refusal(of: [1]) == .library("other bytes than those that wait"))
    }

    @Test func `a key is changed before it has protected too much`() throws {
        let sealer = try Sealer(TLS1_3_VERSION, written: (1 << 24) - 1)
        try sealer.write([1])
        #expect(sealer.received()?.content == [1])
        try sealer.write([2])
        #expect(sealer.received()?.content == [24, 0, 0, 1, 0])
        sealer.updateKeys(isSealing: false)
        #expect(sealer.received()?.content == [2])
    }

    @Test func `each wish for another handshake is refused, and the fifth ends the connection`() throws {
        let sealer = try Sealer(TLS1_2_VERSION)
        for _ in 0..<4 {
            sealer.send(22, [1, 0, 0, 2, 3, 3])
            #expect(try sealer.read().0 == .wantsRead)
            #expect(sealer.received()?.content == [1, 100])
        }
        sealer.send(23, [9])
        #expect(try sealer.read().1 == [9])
        sealer.send(22, [1, 0, 0, 2, 3, 3])
        #expect(throws: TLSError.self) { try sealer.read() }
        #expect(sealer.received()?.content == [2, 10])
    }

    @Test func `no nonce is shown twice, whatever the one before was`() throws {
        for last in [UInt64.max - 1, .max, 0] {
            let secrets = TrafficSecrets()
            (UInt8(0)..<72).map { $0 }.withUnsafeBytes { secrets.keepBlock($0) }
            let keys = try #require(secrets.keys(of: .server, keySize: 16))
            guard var protection = RecordProtection.explicit(.aes128, isSealing: true, keys, lastNonce: last) else {
                throw Stuck()
            }
            var shown: Set<[UInt8]> = [withUnsafeBytes(of: last.bigEndian) { Array($0) }]
            for _ in 0..<4 {
                var room = [UInt8](repeating: 0, count: 64)
                let none = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
                let count = room.withUnsafeMutableBufferPointer { room in
                    room.baseAddress.flatMap { protection.seal(23, none, into: $0) }
                }
                #expect(count == 29)
                #expect(shown.insert(Array(room[5..<13])).inserted)
            }
        }
    }
}

private func * <T>(list: [T], count: Int) -> [T] { (0..<count).flatMap { _ in list } }
