internal import Bytes
internal import CNghttp2
internal import HTTP

/// What is looked at before nghttp2 is: it passes over unknown frames, frames of streams that are gone, and priorities,
/// without a word to its owner.
extension HTTP2Session {
    /// Hands the bytes to nghttp2, and judges each frame of a client by its header when all before it was dealt with.
    ///
    /// - Returns: how many bytes there was effort for.
    func watch(_ bytes: Span<UInt8>, _ effort: Int) throws(HTTP2Error) -> Int {
        var given = 0
        var end = bytes.count
        if role == .server {
            var position = 0
            var effort = effort
            while let frame = frames.next(in: bytes, from: &position) {
                // Whether a stream is open depends on what came before; the header's first bytes may be gone already.
                if frame.stream <= pastStreams.highest, frame.stream > 0, given < position - frame.bytes {
                    try give(bytes.extracting(given..<position - frame.bytes))
                    given = position - frame.bytes
                }
                try judge(frame)
                effort -= frame.effort
                if effort <= 0 {
                    end = position
                    break
                }
            }
        }
        try give(bytes.extracting(given..<end))
        return end
    }

    private func give(_ bytes: Span<UInt8>) throws(HTTP2Error) {
        let taken = bytes.withUnsafeBufferPointer { nghttp2_session_mem_recv(session, $0.baseAddress, $0.count) }
        if let abuse { throw .abuse(abuse) }
        guard taken < 0 else { return }
        switch CInt(taken) {
        case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: throw .notHTTP2
        case NGHTTP2_ERR_FLOODED.rawValue: throw .abuse(.unsentAnswers)
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: throw .abuse(.continuations)
        default: throw .session(taken)
        }
    }

    private func judge(_ frame: FrameHeader) throws(HTTP2Error) {
        switch UInt32(frame.kind) {
        case NGHTTP2_SETTINGS.rawValue:
            if !frame.has(NGHTTP2_FLAG_ACK) { note(.settings) }
        case NGHTTP2_PING.rawValue:
            if !frame.has(NGHTTP2_FLAG_ACK) { note(.pings) }
        case NGHTTP2_RST_STREAM.rawValue:
            note(.resets)
            openStream(frame.stream)?.marks.wasResetByPeer = true
        case NGHTTP2_PRIORITY.rawValue:
            note(.priorities)
            // RFC 9113 §6.3; a dependency on itself is RFC 7540 §5.3.1.
            if frame.stream == 0 || frame.stream == frame.dependency { throw .fault(.protocolError) }
        case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
            try judgeStream(frame)
            if frame.length == 0, !frame.has(NGHTTP2_FLAG_END_STREAM) { note(.emptyFrames) }
        case NGHTTP2_CONTINUATION.rawValue:
            if frame.length == 0, !frame.has(NGHTTP2_FLAG_END_HEADERS) { note(.emptyFrames) }
        case NGHTTP2_WINDOW_UPDATE.rawValue: note(.windowUpdates)
        case NGHTTP2_GOAWAY.rawValue, NGHTTP2_PUSH_PROMISE.rawValue: break
        default: note(.unknownFrames)
        }
        if let abuse { throw .abuse(abuse) }
    }

    /// RFC 9113 §5.1, §5.1.1: what comes on a stream that the peer has ended, or has left out.
    private func judgeStream(_ frame: FrameHeader) throws(HTTP2Error) {
        let isHead = UInt32(frame.kind) == NGHTTP2_HEADERS.rawValue
        guard frame.stream <= pastStreams.highest else {
            if isHead { pastStreams.highest = frame.stream }
            return
        }
        guard frame.stream > 0, openStream(frame.stream) == nil else { return }
        switch pastStreams.state(of: frame.stream) {
        case .endedByPeer: throw .fault(.streamClosed)
        // After GOAWAY streams are passed over without a trace.
        case .neverUsed where isHead && !hasSaidGoAway: throw .fault(.protocolError)
        case .neverUsed, .endedByUs, .forgotten: return
        }
    }
}

/// The head of a frame (RFC 9113 §4.1).
struct FrameHeader {
    let length: Int
    let kind: UInt8
    let flags: UInt8
    let stream: Int32
    /// The first word of a PRIORITY frame's payload.
    var dependency: Int32 = 0
    /// How many bytes were read of it: the header, and that word.
    var bytes = 9

    /// How much work it makes, beside others.
    var effort: Int { UInt32(kind) == NGHTTP2_HEADERS.rawValue ? 8 : 1 }

    func has(_ flag: nghttp2_flag) -> Bool { UInt32(flags) & UInt32(flag.rawValue) != 0 }
}
