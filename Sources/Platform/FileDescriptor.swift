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
