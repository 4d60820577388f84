import Bytes
import Glibc
import Platform
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
