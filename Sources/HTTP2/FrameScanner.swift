internal import CNghttp2

/// Goes from frame to frame in what a client sends, and looks at headers only.
struct FrameScanner {
    /// Bytes to pass over: the preface to begin with (RFC 9113 §3.4), then what is left of a frame.
    private var skip = 24
    private var head = InlineArray<13, UInt8>(repeating: 0)
    private var filled = 0

    /// The next header that is complete, from `position` on, which it moves behind it; nil when more bytes have to come.
    mutating func next(in bytes: Span<UInt8>, from position: inout Int) -> FrameHeader? {
        while position < bytes.count {
            if skip > 0 {
                let step = min(skip, bytes.count - position)
                skip -= step
                position += step
                continue
            }
            head[filled] = bytes[position]
            filled += 1
            position += 1
            if let frame = header() { return frame }
        }
        return nil
    }

    private mutating func header() -> FrameHeader? {
        guard filled >= 9 else { return nil }
        let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        var frame = FrameHeader(length: length, kind: head[3], flags: head[4], stream: number(at: 5))
        if UInt32(head[3]) == NGHTTP2_PRIORITY.rawValue, length == 5 {
            guard filled == 13 else { return nil }
            frame.dependency = number(at: 9)
            frame.bytes = 13
        }
        skip = length - (filled - 9)
        filled = 0
        return frame
    }

    private func number(at place: Int) -> Int32 {
        let high = Int32(head[place] & 0x7F) << 24 | Int32(head[place + 1]) << 16
        return high | Int32(head[place + 2]) << 8 | Int32(head[place + 3])
    }
}
