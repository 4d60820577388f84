import Glibc
public import Platform

/// The access log: whole JSON lines, collected and written without ever waiting for the reader.
///
/// *Ownership:* owns the descriptor.
public struct AccessLog: ~Copyable {
    /// Lines wait for the reader up to so many bytes; later ones are dropped and counted.
    private static let limit = 1 << 20
    /// So many bytes are worth a write of their own.
    private static let worthwhile = 32_768

    private enum Kind {
        /// A write never waits for a reader.
        case file
        /// A stream of its own to the journal, say.
        case socket
        /// Shared with other workers: only what is written at once stays together.
        case pipe
    }

    /// What a pipe takes without waiting, and without bytes of others in between (pipe(7)).
    private static let atomic = 4096

    private var descriptor: FileDescriptor
    private var kind: Kind
    private var waiting: [UInt8] = []
    private var sent = 0
    private var line = JSONLine()
    private var dropped = 0
    /// Why the last write failed, as when the disk is full; nil when it did not, or the reader is only slow.
    public private(set) var failure: Errno?

    /// Takes over a descriptor.
    public init(_ descriptor: consuming FileDescriptor) {
        kind = Self.kind(of: descriptor)
        self.descriptor = descriptor
    }

    private static func kind(of descriptor: borrowing FileDescriptor) -> Kind {
        switch try? FileStatus(descriptor).kind {
        case .regular: .file
        case .socket: .socket
        case .folder, .other, nil: .pipe
        }
    }

    /// Goes on in another file, as after a rotation; whole lines that the old one has not taken come with it.
    public mutating func change(to descriptor: consuming FileDescriptor) {
        write()
        // Of a line that was cut off, the old file has the beginning: another one gets all of it.
        if !Self.isSame(self.descriptor, descriptor) { sent = beginOfLine }
        kind = Self.kind(of: descriptor)
        self.descriptor = descriptor
        write()
    }

    private static func isSame(_ one: borrowing FileDescriptor, _ other: borrowing FileDescriptor) -> Bool {
        guard let one = try? FileStatus(one), let other = try? FileStatus(other) else { return false }
        return one.device == other.device && one.inode == other.inode
    }

    /// Writes one line.
    public mutating func append(_ body: (inout JSONLine) -> Void) {
        line.begin()
        body(&line)
        line.end()
        guard waiting.count - sent + line.bytes.count <= Self.limit else {
            dropped += 1
            return
        }
        waiting.append(contentsOf: line.bytes)
        if waiting.count - sent >= Self.worthwhile { write() }
    }

    /// Writes what the reader takes now.
    ///
    /// - Returns: how many lines were dropped since the last call.
    public mutating func flush() -> Int {
        write()
        defer { dropped = 0 }
        return dropped
    }

    /// Writes what the reader takes now, and gives the rest up: nobody comes back to it.
    ///
    /// - Returns: how many lines were dropped since the last call, with those that are lost by this one.
    public mutating func finish() -> Int {
        write()
        defer {
            dropped = 0
            waiting = []
            sent = 0
        }
        return waiting[sent...].reduce(dropped) { $0 + ($1 == 0x0A ? 1 : 0) }
    }

    /// Where the line begins of which the next byte is to be written.
    private var beginOfLine: Int { waiting[..<sent].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0 }

    private mutating func write() {
        while sent < waiting.count {
            let written = writeOnce()
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                if written < 0, errno != EAGAIN { failure = Errno(in: "write") }
                break
            }
            failure = nil
            sent += written
        }
        if sent == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            sent = 0
        } else if sent > Self.limit {
            let written = beginOfLine
            waiting.removeFirst(written)
            sent -= written
        }
    }

    /// As write(2), and 0 when the reader takes nothing now.
    private func writeOnce() -> Int {
        waiting.withUnsafeBytes { all in
            let rest = UnsafeRawBufferPointer(rebasing: all[sent...])
            switch kind {
            case .file: return Glibc.write(descriptor.raw, rest.baseAddress, rest.count)
            case .socket:
                return send(descriptor.raw, rest.baseAddress, rest.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL))
            case .pipe:
                var entry = pollfd(fd: descriptor.raw, events: CShort(POLLOUT), revents: 0)
                guard poll(&entry, 1, 0) == 1, entry.revents & CShort(POLLOUT) != 0 else { return 0 }
                var count = min(rest.count, Self.atomic)
                if count < rest.count, let end = rest.prefix(count).lastIndex(of: 0x0A) { count = end + 1 }
                return Glibc.write(descriptor.raw, rest.baseAddress, count)
            }
        }
    }
}
