import Glibc
public import Platform

/// The access log: whole JSON lines, collected and written without ever waiting for the reader.
///
/// *Ownership:* owns the descriptor. Another log file is another `AccessLog`; `flush` the old one first.
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

    private let descriptor: FileDescriptor
    private let kind: Kind
    private var waiting: [UInt8] = []
    private var sent = 0
    private var line = JSONLine()
    private var dropped = 0
    /// Why the last write failed, as when the disk is full; nil when it did not, or the reader is only slow.
    public private(set) var failure: Errno?

    /// Takes over a descriptor.
    public init(_ descriptor: consuming FileDescriptor) {
        switch try? FileStatus(descriptor).kind {
        case .regular: kind = .file
        case .socket: kind = .socket
        case .folder, .other, nil: kind = .pipe
        }
        self.descriptor = descriptor
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
            waiting.removeFirst(sent)
            sent = 0
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
