import Glibc

/// Owns one descriptor of the kernel and closes it when it is dropped.
public struct FileDescriptor: ~Copyable {
    /// The number; valid as long as this value lives.
    public let raw: CInt

    /// Takes over `raw`; nobody else may close it from now on.
    public init(owning raw: CInt) { self.raw = raw }

    /// Gives the number away without closing it.
    public consuming func release() -> CInt {
        let number = raw
        discard self
        return number
    }

    deinit { _ = close(raw) }
}

/// Two descriptors made by one call: the ends of a socket pair, or the reading and the writing end of a pipe.
///
/// Each end is taken out once; an end that nobody takes is closed with the pair.
public struct DescriptorPair: ~Copyable {
    private var first: FileDescriptor?
    private var second: FileDescriptor?

    init(first: consuming FileDescriptor, second: consuming FileDescriptor) {
        self.first = consume first
        self.second = consume second
    }

    /// The first end; of a pipe, the one to read from.
    public mutating func takeFirst() -> FileDescriptor {
        guard let end = first.take() else { preconditionFailure("this end was taken before") }
        return end
    }

    /// The second end; of a pipe, the one to write to.
    public mutating func takeSecond() -> FileDescriptor {
        guard let end = second.take() else { preconditionFailure("this end was taken before") }
        return end
    }
}
