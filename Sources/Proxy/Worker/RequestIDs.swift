import Glibc
import HTTP

/// Unpredictable request ids, drawn from the kernel a page at a time.
struct RequestIDSource {
    private var bytes = [UInt8](repeating: 0, count: 4096)
    private var used = 4096

    mutating func next() -> RequestID {
        if used + 16 > bytes.count {
            let count = bytes.withUnsafeMutableBytes { getrandom($0.baseAddress, $0.count, 0) }
            used = count == bytes.count ? 0 : bytes.count - 16
        }
        defer { used += 16 }
        return RequestID(bytes.span.extracting(used..<used + 16))
    }
}
