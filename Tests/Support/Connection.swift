import Bytes
import Glibc
public import Platform
public import TLS

/// A connection that waits: the peer of a test, plain or TLS, client or server.
public final class Connection {
    private let descriptor: FileDescriptor
    private var tls: TLSConnection?
    private var queue = ByteQueue(pool: BufferPool())
    private var milliseconds: Int32

    /// Dials and, with a context, shakes hands.
    public init(to port: UInt16, _ context: ClientContext?, seconds: Int32 = 20) throws {
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { throw Errno(EINVAL, in: "connect") }
        let attempt = try Socket.connect(to: address)
        milliseconds = seconds * 1000
        descriptor = attempt.takeDescriptor()
        try wait(Int16(POLLOUT))
        try Socket.connectResult(descriptor)
        if let context { tls = try TLSConnection(connecting: context, endpoint: 0, descriptor: descriptor.raw) }
        try shakeHands()
    }

    /// Takes over an accepted socket and, with a table, shakes hands.
    public init(accepted: consuming FileDescriptor, _ table: ServerNameTable?, seconds: Int32 = 20) throws {
        descriptor = accepted
        milliseconds = seconds * 1000
        if let table { tls = try TLSConnection(accepting: table, descriptor: descriptor.raw) }
        try shakeHands()
    }

    /// What the handshake agreed on.
    public var facts: TLSFacts? { tls?.facts }

    /// Sends all of the text.
    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends all of the bytes.
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let rest = bytes.span.extracting(sent..<bytes.count)
            if tls != nil {
                switch try tls?.write(rest) {
                case .bytes(let count): sent += count
                case .wantsRead: try wait(Int16(POLLIN))
                case .wantsWrite, nil: try wait(Int16(POLLOUT))
                }
            } else if let count = try Socket.write(descriptor, rest) {
                sent += count
            } else {
                try wait(Int16(POLLOUT))
            }
        }
    }

    /// Waits no longer than a second from now on: for tests of who takes nothing.
    public func beImpatient() { milliseconds = 1000 }

    /// Sends the bytes again and again until nobody has taken any for a second.
    public func sendUntilFull(_ bytes: [UInt8]) {
        beImpatient()
        while (try? send(bytes)) != nil {}
    }

    /// Reads what comes next; nil at the end of the stream.
    public func receive() throws -> [UInt8]? {
        while true {
            guard tls != nil else {
                var room = [UInt8](repeating: 0, count: 65_536)
                let socket = descriptor.raw
                guard let count = try room.withUnsafeMutableBufferPointer({ try Socket.read(socket, into: $0) }) else {
                    try wait(Int16(POLLIN))
                    continue
                }
                return count == 0 ? nil : Array(room.prefix(count))
            }
            switch try tls?.read(into: &queue) {
            case .bytes: return take()
            case .wantsRead, nil: try wait(Int16(POLLIN))
            case .wantsWrite: try wait(Int16(POLLOUT))
            case .closed, .truncated: return nil
            }
        }
    }

    /// Reads until `mark` has come; everything so far.
    public func receive(until mark: String) throws -> String {
        var text = ""
        while !text.contains(mark), let bytes = try receive() { text += String(decoding: bytes, as: UTF8.self) }
        return text
    }

    /// Takes so many bytes off the socket unread, as they came over the wire; false when the connection is gone.
    public func drop(_ count: Int) -> Bool {
        var room = [UInt8](repeating: 0, count: count)
        let taken = recv(descriptor.raw, &room, count, CInt(MSG_DONTWAIT))
        return taken > 0 || (taken < 0 && errno == EAGAIN)
    }

    /// Reads to the end of the stream; a reset ends it too.
    public func receiveAll() -> String {
        var bytes: [UInt8] = []
        while let more = try? receive() { bytes += more }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Ends the stream properly.
    public func close() { tls?.shutdown() }

    /// Ends our stream; the other direction stays open.
    public func endWriting() {
        tls?.shutdown()
        Socket.shutdownWriting(descriptor)
    }

    /// Waits until the other side's system has taken all that was sent.
    public func waitUntilTaken() throws {
        try waitUntil("the other side to take what was sent") {
            var waiting: CInt = 0
            return ioctl(descriptor.raw, UInt(TIOCOUTQ), &waiting) == 0 && waiting == 0
        }
    }

    /// Makes the end a reset.
    public func abort() { Socket.resetOnClose(descriptor) }

    private func take() -> [UInt8] {
        let bytes = Self.copy(queue.bytes)
        queue.removeAll()
        return bytes
    }

    private static func copy(_ bytes: Span<UInt8>) -> [UInt8] {
        bytes.withUnsafeBufferPointer { Array($0) }
    }

    private func shakeHands() throws {
        while tls != nil {
            switch try tls?.handshake() {
            case .done, nil: return
            case .wantsRead: try wait(Int16(POLLIN))
            case .wantsWrite: try wait(Int16(POLLOUT))
            }
        }
    }

    private func wait(_ events: Int16) throws {
        var entry = pollfd(fd: descriptor.raw, events: events, revents: 0)
        guard poll(&entry, 1, milliseconds) > 0 else { throw DeadlinePassed(description: "a peer's bytes") }
    }
}

/// A server of a test, in a thread of its own, which does to each connection what the test says.
public final class ScriptedServer: @unchecked Sendable {
    /// Where it listens.
    public let port: UInt16
    private let listener: FileDescriptor
    private let makeTable: @Sendable () throws -> ServerNameTable?
    private let script: @Sendable (Connection) throws -> Void

    /// - Parameters:
    ///   - identity: nil for plain.
    ///   - port: 0 for any that is free.
    ///   - alpn: what it speaks.
    ///   - script: runs once for each connection; the connection is closed after it.
    public init(
        certificate: CertificateMaker.Issued?,
        port asked: UInt16 = 0,
        alpn: String = "http/1.1",
        script: @escaping @Sendable (Connection) throws -> Void
    ) throws {
        guard let any = SocketAddress(ip: "127.0.0.1", port: asked) else { throw Errno(EINVAL, in: "listen") }
        listener = try Socket.listen(on: any, sharePort: false)
        port = Socket.localAddress(listener)?.port ?? 0
        self.script = script
        makeTable = {
            guard let certificate else { return nil }
            let table = try ServerNameTable(policy: .nist80052r2)
            let identity = try ServerIdentity(chainPEM: certificate.certificatePEM, keyPEM: certificate.keyPEM)
            let context = try ServerContext(
                identities: [identity],
                policy: .nist80052r2,
                alpn: [alpn],
                tickets: TicketKeys(),
                tag: 0
            )
            table.add(context, host: nil)
            return table
        }
        TestThread.start { [self] in accept() }
    }

    private func accept() {
        guard let table = try? makeTable() else {
            serve(nil)
            return
        }
        serve(table)
    }

    private func serve(_ table: ServerNameTable?) {
        while true {
            var entry = pollfd(fd: listener.raw, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, 60_000)
            guard let accepted = try? Socket.accept(from: listener) else { continue }
            let raw = accepted.takeDescriptor().release()
            let script = self.script
            let shared = Unchecked(table)
            TestThread.start {
                guard let connection = try? Connection(accepted: FileDescriptor(owning: raw), shared.value) else {
                    return
                }
                try? script(connection)
            }
        }
    }

    private struct Unchecked: @unchecked Sendable {
        let value: ServerNameTable?
        init(_ value: ServerNameTable?) { self.value = value }
    }
}

/// Threads of a test.
public enum TestThread {
    /// Runs a body in a thread of its own.
    public static func start(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
        let argument = Unmanaged.passRetained(Box(body)).toOpaque()
        pthread_create(
            &thread,
            &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            },
            argument
        )
    }
}

/// Something that threads of a test write and the test reads.
public final class Shared<Value: Sendable>: @unchecked Sendable {
    private var mutex = pthread_mutex_t()
    private var stored: Value

    /// Starts with a value.
    public init(_ value: Value) {
        stored = value
        pthread_mutex_init(&mutex, nil)
    }

    /// Looks at or changes the value.
    @discardableResult
    public func with<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        return try body(&stored)
    }

    /// The value now.
    public var value: Value { with { $0 } }
}
