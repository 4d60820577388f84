import CLinux
import Glibc

/// One message between master and child.
public struct ControlMessage: ~Copyable {
    /// What it says; the sender and the receiver agree on the numbers.
    public let kind: UInt8
    /// Its bytes.
    public let payload: [UInt8]
    /// A descriptor that came along, or nil.
    public var descriptor: FileDescriptor?

    /// Takes the parts over.
    public init(kind: UInt8, payload: [UInt8], descriptor: consuming FileDescriptor?) {
        self.kind = kind
        self.payload = payload
        self.descriptor = consume descriptor
    }

    /// Takes the descriptor out.
    public mutating func takeDescriptor() -> FileDescriptor? { descriptor.take() }
}

/// Length-prefixed messages over a unix stream socket, each with at most one descriptor (SCM_RIGHTS).
///
/// The frame is: kind (1 byte), 1 when a descriptor comes along (1 byte), length (4 bytes, little-endian), payload.
/// Sending queues and never blocks, so that a stuck child cannot stop the master.
public struct ControlChannel: ~Copyable {
    /// How much is taken at a time of what the other end says: one that never stops keeps nobody else waiting.
    public struct Turn: Sendable {
        private var messages: Int
        private var bytes: Int

        /// A turn of so many messages, and hardly more bytes.
        public init(messages: Int = 64, bytes: Int = 1 << 20) {
            self.messages = messages
            self.bytes = bytes
        }

        /// Whether there may be more, for the next turn: in the channel itself, of which the kernel does not tell.
        public var isOver: Bool { messages <= 0 || bytes <= 0 }

        fileprivate mutating func take(_ payload: Int) {
            messages -= 1
            bytes -= payload
        }
    }

    /// The largest payload accepted, in bytes: a configuration with all its certificates.
    public static let limit = 64 << 20
    private static let headerSize = 6
    /// The largest payload and the most unclaimed descriptors that this end takes.
    private let most: (payload: Int, descriptors: Int)

    /// What to watch for readiness.
    public let descriptor: FileDescriptor

    private struct Outgoing {
        var bytes: [UInt8]
        var sent = 0
        var descriptor: CInt
    }

    private var outgoing: [Outgoing] = []
    private var incoming: [UInt8] = []
    private var descriptors: [CInt] = []

    /// Takes over one end of a socket pair.
    ///
    /// - Parameter mostPayload: what a message may hold; a child has less to say than a master, and could be an
    ///   attacker's.
    public init(_ descriptor: consuming FileDescriptor, mostPayload: Int = limit) {
        self.descriptor = consume descriptor
        most = (mostPayload, mostPayload < Self.limit ? 16 : 65_536)
        _ = fcntl(self.descriptor.raw, F_SETFL, O_NONBLOCK)
    }

    deinit {
        for message in outgoing where message.descriptor >= 0 { close(message.descriptor) }
        for descriptor in descriptors { close(descriptor) }
    }

    /// Two connected ends.
    public static func pair() throws(Errno) -> DescriptorPair {
        var ends: (CInt, CInt) = (-1, -1)
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let result = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: CInt.self, capacity: 2) { socketpair(AF_UNIX, type, 0, $0) }
        }
        guard result == 0 else { throw Errno(in: "socketpair") }
        return DescriptorPair(first: FileDescriptor(owning: ends.0), second: FileDescriptor(owning: ends.1))
    }

    /// Whether messages wait for room in the socket.
    public var hasOutgoing: Bool { !outgoing.isEmpty }

    /// Queues a message and sends what the socket takes.
    ///
    /// - Parameter copyOf: a descriptor to send along; the sender keeps its own.
    /// - Throws: when the other end is gone.
    public mutating func send(kind: UInt8, _ payload: [UInt8] = [], copyOf: CInt = -1) throws(Errno) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerSize + payload.count)
        bytes.append(kind)
        bytes.append(copyOf >= 0 ? 1 : 0)
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: payload.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: payload)
        var copy: CInt = -1
        if copyOf >= 0 {
            copy = fcntl(copyOf, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0 else { throw Errno(in: "fcntl") }
        }
        outgoing.append(Outgoing(bytes: bytes, descriptor: copy))
        try flush()
    }

    /// Sends what the socket takes of the queued messages.
    public mutating func flush() throws(Errno) {
        while let message = outgoing.first {
            let count = message.bytes.withUnsafeBufferPointer { buffer in
                everyhop_send_descriptor(
                    descriptor.raw,
                    buffer.baseAddress.map { $0 + message.sent },
                    buffer.count - message.sent,
                    message.descriptor
                )
            }
            if count < 0 {
                switch errno {
                case EINTR: continue
                case EAGAIN: return
                case let code: throw Errno(code, in: "sendmsg")
                }
            }
            if message.descriptor >= 0 {
                close(message.descriptor)
                outgoing[0].descriptor = -1
            }
            outgoing[0].sent += count
            if outgoing[0].sent == outgoing[0].bytes.count { outgoing.removeFirst() }
        }
    }

    /// Sends all that is queued, waiting for room.
    public mutating func flushWaiting() throws(Errno) {
        while hasOutgoing {
            try flush()
            if hasOutgoing { wait(for: CShort(POLLOUT)) }
        }
    }

    /// The next whole message; nil when more bytes are needed.
    ///
    /// - Throws: `ECONNRESET` when the other end is gone, `EPROTO` when it breaks the frame.
    public mutating func receive() throws(Errno) -> ControlMessage? {
        while true {
            if let message = try next() { return message }
            let filled = incoming.count
            var received: CInt = -1
            var count = 0
            var code: CInt = 0
            incoming.append(contentsOf: repeatElement(0, count: 65_536))
            incoming.withUnsafeMutableBytes { buffer in
                count = everyhop_receive_descriptor(
                    descriptor.raw,
                    buffer.baseAddress.map { $0 + filled },
                    65_536,
                    &received
                )
                code = errno
            }
            incoming.removeLast(65_536 - max(0, count))
            if received >= 0 { descriptors.append(received) }
            if descriptors.count > most.descriptors { throw Errno(EPROTO, in: "recvmsg") }
            if count == 0 { throw Errno(ECONNRESET, in: "recvmsg") }
            if count < 0 {
                switch code {
                case EINTR: continue
                case EAGAIN: return nil
                default: throw Errno(code, in: "recvmsg")
                }
            }
        }
    }

    /// The next whole message, unless the turn is over; nil when more bytes are needed.
    ///
    /// - Throws: as `receive` does.
    public mutating func receive(within turn: inout Turn) throws(Errno) -> ControlMessage? {
        guard !turn.isOver, let message = try receive() else { return nil }
        turn.take(message.payload.count)
        return message
    }

    /// Waits until the other end speaks, or the time is over.
    ///
    /// - Returns: whether there is something to receive.
    /// - Throws: when the other end is gone.
    public mutating func waitForMaster(milliseconds: UInt64) throws(Errno) -> Bool {
        var entry = pollfd(fd: descriptor.raw, events: CShort(POLLIN), revents: 0)
        guard poll(&entry, 1, CInt(clamping: milliseconds)) > 0 else { return false }
        if entry.revents & CShort(POLLHUP) != 0 { throw Errno(ECONNRESET, in: "poll") }
        return true
    }

    /// The next whole message, waiting for it.
    public mutating func receiveWaiting() throws(Errno) -> ControlMessage {
        while true {
            if let message = try receive() { return message }
            wait(for: CShort(POLLIN))
        }
    }

    private func wait(for events: CShort) {
        var entry = pollfd(fd: descriptor.raw, events: events, revents: 0)
        _ = poll(&entry, 1, -1)
    }

    private mutating func next() throws(Errno) -> ControlMessage? {
        guard incoming.count >= Self.headerSize else { return nil }
        var length = 0
        for index in 0..<4 { length |= Int(incoming[2 + index]) << (8 * index) }
        guard length <= most.payload else { throw Errno(EPROTO, in: "recvmsg") }
        guard incoming.count >= Self.headerSize + length else { return nil }
        let kind = incoming[0]
        var along: FileDescriptor?
        if incoming[1] == 1 {
            guard !descriptors.isEmpty else { throw Errno(EPROTO, in: "recvmsg") }
            along = FileDescriptor(owning: descriptors.removeFirst())
        }
        let payload = Array(incoming[Self.headerSize..<Self.headerSize + length])
        incoming.removeFirst(Self.headerSize + length)
        // Behind its end there may be keys: whoever wipes what is freed wipes them, too.
        if incoming.isEmpty { incoming = [] }
        return ControlMessage(kind: kind, payload: payload, descriptor: along)
    }
}
