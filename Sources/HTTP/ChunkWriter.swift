public import Bytes

/// Writes chunked bodies (RFC 9112 §7.1).
public enum ChunkWriter {
    /// The size line before a chunk's data; an empty chunk would end the body and must not be written.
    public static func head(_ count: Int, into queue: inout ByteQueue) {
        queue.append(hexadecimal: UInt64(truncatingIfNeeded: count))
        queue.append("\r\n")
    }

    /// The line end after a chunk's data.
    public static func tail(into queue: inout ByteQueue) { queue.append("\r\n") }

    /// The last chunk and the trailers that may be passed on (RFC 9110 §6.5.1).
    public static func end(trailers: borrowing HeaderBlock, into queue: inout ByteQueue) {
        queue.append("0\r\n")
        for index in 0..<trailers.count where isAllowed(trailers[index].id, trailers.name(index)) {
            queue.append(trailers.name(index))
            queue.append(": ")
            queue.append(trailers.value(index))
            queue.append("\r\n")
        }
        queue.append("\r\n")
    }

    /// Fields for framing, routing, authentication and the treatment of the content stay out of trailers: a reader that
    /// merges them would act on what nobody has checked.
    private static func isAllowed(_ id: FieldName, _ name: Span<UInt8>) -> Bool {
        guard id == .other || id == .date else { return false }
        if name.count >= 8, ASCII.equalIgnoringCase(name.extracting(0..<8), "content-") { return false }
        let refused: [StaticString] = [
            "authorization", "cookie", "set-cookie", "cache-control", "expires", "age", "location", "range",
            "max-forwards", "pragma", "vary", "www-authenticate", "if-match", "if-none-match", "if-modified-since",
            "if-unmodified-since", "if-range",
        ]
        if ForwardingClaims.isOne(name) { return false }
        for other in refused where ASCII.equalIgnoringCase(name, other) { return false }
        return true
    }
}
