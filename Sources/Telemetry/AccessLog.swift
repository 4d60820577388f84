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

    private let descriptor: FileDescriptor
    /// A write to a regular file never waits for a reader.
    private let isRegular: Bool
    private var waiting: [UInt8] = []
    private var sent = 0
    private var line = JSONLine()
    private var dropped = 0

    /// Takes over a descriptor.
    public init(_ descriptor: consuming FileDescriptor) {
        var status = stat()
        isRegular = fstat(descriptor.raw, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
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
            var count = waiting.count - sent
            if !isRegular {
                var entry = pollfd(fd: descriptor.raw, events: CShort(POLLOUT), revents: 0)
                guard poll(&entry, 1, 0) == 1, entry.revents & CShort(POLLOUT) != 0 else { break }
                // A pipe that is writable takes this much without waiting (pipe(7)).
                count = min(count, 4096)
            }
            let written = waiting.withUnsafeBytes {
                Glibc.write(descriptor.raw, $0.baseAddress.map { $0 + sent }, count)
            }
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                break
            }
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
}
