import Glibc
import Platform

/// A wire with faults between two programs of a test: bytes take their time, or the connection is reset after some.
public final class FaultProxy: @unchecked Sendable {
    /// What is wrong with the wire.
    public struct Faults: Sendable {
        /// How long each byte takes, in milliseconds.
        public var delay: UInt64 = 0
        /// After so many bytes from who has dialled, which still arrive, both sides are reset.
        public var resetAfterRequest: Int?
        /// After so many bytes of the answer, which still arrive, both sides are reset.
        public var resetAfterAnswer: Int?

        /// None.
        public init() {}
    }

    /// Where to dial.
    public let port: UInt16
    private let listener: FileDescriptor
    private let target: UInt16
    /// What is wrong with connections that are made from now on.
    public let faults: Shared<Faults>
    private let accepted = Shared(0)

    /// How many connections there were.
    public var count: Int { accepted.value }

    /// - Parameter target: the port of loopback that the wire leads to.
    public init(to target: UInt16, _ faults: Faults) throws {
        guard let any = SocketAddress(ip: "127.0.0.1", port: 0) else { throw Errno(EINVAL, in: "listen") }
        listener = try Socket.listen(on: any, sharePort: false)
        port = Socket.localAddress(listener)?.port ?? 0
        self.target = target
        self.faults = Shared(faults)
        TestThread.start { [self] in serve() }
    }

    private func serve() {
        while true {
            Self.wait(listener.raw, POLLIN, 60_000)
            guard let connection = try? Socket.accept(from: listener),
                let address = SocketAddress(ip: "127.0.0.1", port: target),
                let attempt = try? Socket.connect(to: address)
            else { continue }
            accepted.with { $0 += 1 }
            let faults = self.faults.value
            let (near, far) = (connection.takeDescriptor().release(), attempt.takeDescriptor().release())
            let ends = Ends(near, far)
            TestThread.start { Self.carry(ends, near, far, faults.delay, faults.resetAfterRequest) }
            TestThread.start { Self.carry(ends, far, near, faults.delay, faults.resetAfterAnswer) }
        }
    }

    /// Both sockets, closed when both directions are over.
    private final class Ends: @unchecked Sendable {
        private let near: FileDescriptor
        private let far: FileDescriptor

        init(_ near: CInt, _ far: CInt) {
            self.near = FileDescriptor(owning: near)
            self.far = FileDescriptor(owning: far)
        }

        func reset() {
            Socket.resetOnClose(near)
            Socket.resetOnClose(far)
            // Wakes the other direction.
            shutdown(near.raw, CInt(SHUT_RD))
            shutdown(far.raw, CInt(SHUT_RD))
        }
    }

    private static func wait(_ socket: CInt, _ events: Int32, _ milliseconds: Int32) {
        var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
        _ = poll(&entry, 1, milliseconds)
    }

    private static func carry(_ ends: Ends, _ source: CInt, _ target: CInt, _ delay: UInt64, _ limit: Int?) {
        var waiting: [(due: UInt64, bytes: [UInt8])] = []
        var carried = 0
        var isOpen = true
        var room = [UInt8](repeating: 0, count: 65_536)
        while isOpen || !waiting.isEmpty {
            let now = Clock.monotonicMicroseconds() / 1000
            if let first = waiting.first, first.due <= now {
                waiting.removeFirst()
                guard write(first.bytes, to: target) else { return ends.reset() }
                continue
            }
            let pause = waiting.first.map { Int32(truncatingIfNeeded: $0.due - now) } ?? 60_000
            guard isOpen else {
                usleep(UInt32(pause) * 1000)
                continue
            }
            wait(source, POLLIN, pause)
            let count = recv(source, &room, min(room.count, limit.map { $0 - carried } ?? .max), CInt(MSG_DONTWAIT))
            if count < 0, errno == EAGAIN { continue }
            guard count > 0 else {
                isOpen = false
                continue
            }
            carried += count
            waiting.append((Clock.monotonicMicroseconds() / 1000 + delay, Array(room.prefix(count))))
            guard let limit, carried >= limit else { continue }
            for piece in waiting { _ = write(piece.bytes, to: target) }
            return ends.reset()
        }
        shutdown(target, CInt(SHUT_WR))
    }

    private static func write(_ bytes: [UInt8], to socket: CInt) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(socket, $0.baseAddress.map { $0 + sent }, bytes.count - sent, CInt(MSG_NOSIGNAL))
            }
            if count < 0, errno == EAGAIN {
                wait(socket, POLLOUT, 60_000)
            } else if count <= 0 {
                return false
            } else {
                sent += count
            }
        }
        return true
    }
}
