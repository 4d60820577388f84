/// Frames of HTTP/2 as bytes, valid or not (RFC 9113 §4.1).
public enum HTTP2Frames {
    /// Kinds of frames (RFC 9113 §6).
    public enum Kind {
        // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
        public static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, reset: UInt8 = 3,
            settings: UInt8 = 4
        // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
        public static let ping: UInt8 = 6, goAway: UInt8 = 7, windowUpdate: UInt8 = 8, continuation: UInt8 = 9
    }

    /// Ends the sender's side of a stream; on SETTINGS and PING it is an acknowledgement.
    public static let endStream: UInt8 = 1
    /// Ends a field section.
    public static let endHeaders: UInt8 = 4

    /// What a client begins with (RFC 9113 §3.4).
    public static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// Any frame.
    public static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let count = payload.count
        let length = [UInt8(count >> 16 & 0xFF), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)]
        return length + [kind, flags] + number(UInt32(bitPattern: stream)) + payload
    }

    /// Four bytes, the highest first.
    public static func number(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// SETTINGS with these values.
    public static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
        frame(Kind.settings, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xFF)] + number($0.1) })
    }

    /// A field section, each line as a literal that is not indexed and not compressed (RFC 7541 §6.2.2).
    public static func section(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + text(Array($0.0.utf8)) + text(Array($0.1.utf8)) }
    }

    private static func text(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
        var rest = bytes.count - 127
        var length: [UInt8] = [127]
        while rest >= 128 {
            length.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    /// HEADERS with these fields, in as many CONTINUATION frames as it takes.
    public static func headers(_ stream: Int32, _ fields: [(String, String)], endsStream: Bool = true) -> [UInt8] {
        var rest = section(fields)[...]
        var kind = Kind.headers
        var bytes: [UInt8] = []
        repeat {
            let piece = Array(rest.prefix(16_384))
            rest = rest.dropFirst(16_384)
            let ends = rest.isEmpty ? endHeaders : 0
            bytes += frame(
                kind,
                flags: ends | (kind == Kind.headers && endsStream ? endStream : 0),
                stream: stream,
                piece
            )
            kind = Kind.continuation
        } while !rest.isEmpty
        return bytes
    }

    /// DATA.
    public static func data(_ stream: Int32, _ bytes: [UInt8], endsStream: Bool) -> [UInt8] {
        frame(Kind.data, flags: endsStream ? endStream : 0, stream: stream, bytes)
    }

    /// RST_STREAM.
    public static func reset(_ stream: Int32, code: UInt32 = 8) -> [UInt8] {
        frame(Kind.reset, stream: stream, number(code))
    }

    /// WINDOW_UPDATE.
    public static func windowUpdate(_ stream: Int32, _ count: UInt32) -> [UInt8] {
        frame(Kind.windowUpdate, stream: stream, number(count))
    }

    /// A whole request without a body.
    public static func get(_ path: String = "/", host: String = "localhost") -> [(String, String)] {
        [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", host)]
    }

    /// The head of a request with a body.
    public static func post(_ path: String = "/", host: String = "localhost") -> [(String, String)] {
        [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", host)]
    }
}
