import CLinux

/// Random bytes from the kernel.
public enum Randomness {
    /// Fills `bytes`.
    ///
    /// - Throws: only where the kernel has no such call.
    public static func fill(_ bytes: inout [UInt8]) throws(Errno) {
        let result = bytes.withUnsafeMutableBytes { everyhop_random($0.baseAddress, $0.count) }
        guard result == 0 else { throw Errno(in: "getrandom") }
    }
}
