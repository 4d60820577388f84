import HTTP
import Platform

/// Unpredictable request ids, drawn from the kernel a page at a time.
struct RequestIDSource {
    private var bytes = [UInt8](repeating: 0, count: 4096)
    private var used = 4096

    mutating func next() -> RequestID {
        if used + 16 > bytes.count {
            // Without new bytes the old ones name requests again: worse for searching logs, harmless otherwise.
            try? Randomness.fill(&bytes)
            used = 0
        }
        defer { used += 16 }
        return RequestID(bytes.span.extracting(used..<used + 16))
    }
}
