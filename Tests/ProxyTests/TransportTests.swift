import Bytes
import Glibc
import Platform
import TLS
import Testing

@testable import Proxy

@Suite("Transport") struct TransportTests {
    /// A transport and its peer, with whole messages between them, so that each write is seen apart.
    private struct Pipe: ~Copyable {
        var transport: Transport
        let peer: FileDescriptor

        init(_ pool: BufferPool, _ token: Token) throws {
            var pair: [CInt] = [-1, -1]
            let kind = CInt(SOCK_SEQPACKET.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else { throw Errno(in: "socketpair") }
            let ours = FileDescriptor(owning: pair[0])
            transport = Transport(token: token, descriptor: ours, tls: nil, pool: pool, interest: .read)
            peer = FileDescriptor(owning: pair[1])
        }

        func receive() -> Int {
            var room = [UInt8](repeating: 0, count: 65_536)
            return recv(peer.raw, &room, room.count, 0)
        }

        func send(_ bytes: [UInt8]) -> Int { Glibc.send(peer.raw, bytes, bytes.count, 0) }
    }

    @Test(arguments: [(0, [100]), (9, [109]), (BufferPool.blockSize - 100, [BufferPool.blockSize])])
    func `what is relayed leaves with the words before it in one write`(_ own: Int, _ writes: [Int]) throws {
        try check(own, writes)
    }

    @Test func `what does not fit one block with the words before it is not copied`() throws {
        try check(BufferPool.blockSize - 99, [BufferPool.blockSize - 99, 100])
    }

    private func check(_ own: Int, _ writes: [Int]) throws {
        let pool = BufferPool()
        var slab = Slab<Int>()
        var source = try Pipe(pool, slab.insert(0))
        var target = try Pipe(pool, slab.insert(0))
        let sent = source.send([UInt8](repeating: 1, count: 100))
        #expect(sent == 100)
        _ = try source.transport.fill()
        target.transport.outbound.append([UInt8](repeating: 2, count: own).span)
        let isAllWritten = try target.transport.relay(from: &source.transport)
        #expect(isAllWritten)
        for count in writes {
            let received = target.receive()
            #expect(received == count)
        }
        let nothing = target.receive()
        #expect(nothing == -1)
    }
}

@Suite("Transport with TLS") struct EncryptedTransportTests {
    /// A transport that shakes hands as the server, registered with epoll, and its client.
    private final class Pair {
        var transport: Transport
        var client: TLSConnection
        let peer: FileDescriptor
        let poller: Poller

        init() throws {
            let (table, context) = try Self.makeEnds()
            poller = try Poller()
            var pair: [CInt] = [-1, -1]
            let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else { throw Errno(in: "socketpair") }
            client = try TLSConnection(connecting: context, endpoint: 0, descriptor: pair[1])
            let tls = try TLSConnection(accepting: table, descriptor: pair[0])
            let ours = FileDescriptor(owning: pair[0])
            var slab = Slab<Int>()
            let token = slab.insert(0)
            try poller.add(ours, token, .read)
            transport = Transport(token: token, descriptor: ours, tls: tls, pool: BufferPool(), interest: .read)
            peer = FileDescriptor(owning: pair[1])
        }

        private static func makeEnds() throws -> (ServerNameTable, ClientContext) {
            let issued = try CertificateMaker.selfSigned(names: ["app.internal"])
            let identity = try ServerIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM)
            let table = try ServerNameTable(policy: .modern)
            let tickets = try TicketKeys()
            let binding = try ServerContext(identities: [identity], policy: .modern, alpn: [], tickets: tickets, tag: 0)
            table.add(binding, host: nil)
            let context = try ClientContext(
                trust: ClientContext.Trust(authoritiesPEM: nil, pins: [identity.facts.pin]),
                name: "app.internal",
                policy: .modern,
                alpn: []
            )
            return (table, context)
        }

        /// Shakes hands but for the client's last message, which the transport has not read.
        func shakeHandsAlmost() throws {
            while try client.handshake() != .done { _ = try transport.handshake() }
        }

        func write(_ text: String) throws -> WriteOutcome { try client.write(Array(text.utf8).span) }

        func write(raw bytes: [UInt8]) -> Int { Glibc.write(peer.raw, bytes, bytes.count) }

        func endWriting() { Glibc.shutdown(peer.raw, CInt(SHUT_WR)) }

        func handshake() throws -> Bool { try transport.handshake() }

        func silence() { transport.silence(poller) }

        /// What a read brings: how many bytes, or -1 for the end.
        func fill() throws -> Int {
            switch try transport.fill() {
            case .bytes(let count): count
            case .nothing: 0
            case .ended: -1
            }
        }

        /// Whether its owner is told to read on.
        func goesOn() -> Bool { transport.rest(room: 65_536, poller: poller) }

        /// Whether epoll tells of anything.
        func isReady() throws -> Bool { try poller.wait(milliseconds: 0) > 0 }

        var end: Transport.End { transport.end }
    }

    @Test func `what came with the last handshake message is read, although epoll does not tell of it`() throws {
        let pair = try Pair()
        try pair.shakeHandsAlmost()
        #expect(try pair.write("early") == .bytes(5))
        #expect(try pair.handshake())
        #expect(try !pair.isReady())
        #expect(pair.goesOn())
        #expect(try pair.fill() == 5)
        #expect(!pair.goesOn())
    }

    @Test func `a handshake with nothing behind it has nobody read on`() throws {
        let pair = try Pair()
        try pair.shakeHandsAlmost()
        #expect(try pair.handshake())
        #expect(!pair.goesOn())
    }

    @Test(arguments: ["", "words"])
    func `the end of a dead socket is found behind half a record`(_ before: String) throws {
        let pair = try Pair()
        try pair.shakeHandsAlmost()
        #expect(try pair.handshake())
        if !before.isEmpty { #expect(try pair.write(before) == .bytes(before.utf8.count)) }
        let half: [UInt8] = [23, 3, 3, 0, 200] + [UInt8](repeating: 1, count: 100)
        #expect(pair.write(raw: half) == half.count)
        pair.endWriting()
        pair.silence()
        #expect(try !pair.isReady())
        // Nothing else wakes its owner, who reads as often as it is told to.
        var counts: [Int] = []
        while pair.goesOn(), counts.count < 10 { counts.append(try pair.fill()) }
        #expect(counts == (before.isEmpty ? [-1] : [before.utf8.count, -1]))
        #expect(pair.end == .truncated)
    }
}
