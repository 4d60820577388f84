import Glibc

/// Reads what a child writes without ever waiting for it.
///
/// *Ownership:* owns the pipe's end.
public final class PipeReader {
    /// Readable when more has come, or the end.
    public let descriptor: FileDescriptor
    /// What has come.
    public private(set) var bytes: [UInt8] = []
    private let limit: Int

    /// - Parameter limit: more bytes than that are an error.
    public init(_ descriptor: consuming FileDescriptor, limit: Int) {
        self.descriptor = consume descriptor
        self.limit = limit
        _ = fcntl(self.descriptor.raw, F_SETFL, O_NONBLOCK)
    }

    /// Reads what is there; whether that was all.
    public func read() throws(Errno) -> Bool {
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor.raw, &piece, piece.count)
            if count == 0 { return true }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { return false }
                throw Errno(in: "read")
            }
            guard bytes.count + count <= limit else { throw Errno(EFBIG, in: "read") }
            bytes.append(contentsOf: piece.prefix(count))
        }
    }
}
