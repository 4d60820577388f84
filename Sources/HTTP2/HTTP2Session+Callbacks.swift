internal import Bytes
internal import CNghttp2
internal import HTTP

/// What nghttp2 calls: each callback records and returns; none ends the session or frees anything, and what one submits
/// ends the stream that it is called for.
extension HTTP2Session {
    /// RFC 9113 §4.1.
    private static let frameHeaderBytes = 9
    /// The plaintext of a TLS record (RFC 8446 §5.1), of which the owner's queue is sent one after the other.
    private static let recordBytes = 16_384
    /// No shorter frame is made for the sake of a record.
    private static let leastFrame = 1024

    static func open(
        _ role: Role,
        _ limits: HTTP2Limits,
        user: UnsafeMutableRawPointer
    ) throws(HTTP2Error) -> OpaquePointer? {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0, nghttp2_option_new(&options) == 0 else {
            nghttp2_session_callbacks_del(callbacks)
            throw .session(Int(NGHTTP2_ERR_NOMEM.rawValue))
        }
        defer {
            nghttp2_session_callbacks_del(callbacks)
            nghttp2_option_del(options)
        }
        register(callbacks)
        // A window opens when the other side of the proxy has taken the bytes, not when they have come.
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_closed_streams(options, 1)
        // Ours is stricter and tells the log; this one is the net below it.
        nghttp2_option_set_stream_reset_rate_limit(options, 1000, 33)
        // As long as a head may be: what is read has to pass, in frames of 16 KiB, and so has what is added to it.
        nghttp2_option_set_max_continuations(options, max(8, limits.fieldSectionBytes / 16_384 + 1))
        nghttp2_option_set_max_send_header_block_length(options, 262_144 + 2 * limits.fieldSectionBytes)
        var session: OpaquePointer?
        let result =
            role == .server
            ? nghttp2_session_server_new2(&session, callbacks, user, options)
            : nghttp2_session_client_new2(&session, callbacks, user, options)
        guard result == 0 else { throw .session(Int(result)) }
        return session
    }

    private static func with(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Void) {
        guard let user else { return }
        Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef(body)
    }

    private static func register(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            guard let frame else { return 0 }
            HTTP2Session.with(user) { $0.beganHeaders(frame.pointee) }
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _,
            frame,
            name,
            nameCount,
            value,
            valueCount,
            _,
            user in
            guard let frame, let name, let value else { return 0 }
            HTTP2Session.with(user) {
                $0.field(
                    frame.pointee.hd.stream_id,
                    Span(_unsafeStart: name, count: nameCount),
                    Span(_unsafeStart: value, count: valueCount)
                )
            }
            return 0
        }
        // Without this nghttp2 would leave the field out, and the request would be another one (RFC 9113 §8.2.1).
        nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) { _, _, _, _, _, _, _, _ in
            NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, data, count, user in
            guard let data else { return 0 }
            HTTP2Session.with(user) { $0.data(id, Span(_unsafeStart: data, count: count)) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            guard let frame else { return 0 }
            HTTP2Session.with(user) { $0.received(frame.pointee) }
            return 0
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
            guard let frame, code == NGHTTP2_ERR_REFUSED_STREAM.rawValue else { return 0 }
            HTTP2Session.with(user) { $0.refused(frame.pointee.hd.stream_id) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            guard let frame else { return 0 }
            HTTP2Session.with(user) { $0.sent(frame.pointee) }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
            HTTP2Session.with(user) { $0.closed(id, code) }
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, count, source, user in
            guard let frame, let header, let stream = source?.pointee.ptr else {
                return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
            }
            var result: CInt = 0
            HTTP2Session.with(user) { session in
                result = session.sendData(
                    Unmanaged<HTTP2Stream>.fromOpaque(stream).takeUnretainedValue(),
                    header,
                    count,
                    padding: frame.pointee.data.padlen
                )
            }
            return result
        }
    }

    // MARK: what came

    private func beganHeaders(_ frame: nghttp2_frame) {
        if let incoming, incoming.pointee.count > 0 { incoming.pointee.removeAll() }
        if let stream = openStream(frame.hd.stream_id) {
            receiving = stream
            stream.marks.fieldBytes = 0
            stream.marks.collectsTrailers = stream.marks.headIsComplete
            return
        }
        receiving = nil
        guard role == .server, frame.headers.cat == NGHTTP2_HCAT_REQUEST else { return }
        let stream = takeStream()
        receiving = stream
        adopt(stream, id: frame.hd.stream_id)
        stream.marks.waitingSince = now
        nghttp2_session_set_stream_user_data(session, stream.marks.id, Unmanaged.passUnretained(stream).toOpaque())
    }

    private func field(_ id: Int32, _ name: Span<UInt8>, _ value: Span<UInt8>) {
        guard let stream = receiving, stream.marks.id == id else { return }
        // RFC 9113 §6.5.2: as SETTINGS_MAX_HEADER_LIST_SIZE counts.
        stream.marks.fieldBytes += name.count + value.count + 32
        guard stream.marks.fieldBytes <= limits.fieldSectionBytes else {
            if stream.marks.collectsTrailers {
                stream.marks.trailersAreOversized = true
            } else {
                stream.marks.isOversized = true
            }
            return
        }
        incoming?.pointee.append(name: name, value: value)
    }

    private func data(_ id: Int32, _ bytes: Span<UInt8>) {
        guard let stream = openStream(id), !stream.marks.discards else {
            nghttp2_session_consume(session, id, bytes.count)
            return
        }
        stream.inbound.append(bytes)
        stream.marks.bytesIn &+= UInt64(truncatingIfNeeded: bytes.count)
        markReady(stream)
    }

    private func received(_ frame: nghttp2_frame) {
        switch UInt32(frame.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream = receiving, let incoming else { return }
            receiving = nil
            receivedSection(stream, &incoming.pointee, frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0)
        case NGHTTP2_DATA.rawValue:
            guard frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
            if let stream = openStream(frame.hd.stream_id) { ended(stream) }
        case NGHTTP2_GOAWAY.rawValue:
            record(.goAway(lastStream: frame.goaway.last_stream_id, code: frame.goaway.error_code))
        case NGHTTP2_PING.rawValue:
            if frame.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 { record(.pong) }
        default: break
        }
    }

    private func receivedSection(_ stream: HTTP2Stream, _ section: inout HeaderBlock, _ endsStream: Bool) {
        if stream.marks.headIsComplete {
            stream.add(&section)
            if endsStream { ended(stream) }
            return
        }
        if endsStream { stream.marks.inboundEnded = true }
        // An interim response is followed by another head (RFC 9113 §8.1).
        if role == .client, Self.isInterim(section) {
            stream.addInterim(section)
            record(.interim(stream))
            if endsStream { ended(stream) }
            return
        }
        stream.add(&section)
        stream.marks.headIsComplete = true
        record(.head(stream))
    }

    private func ended(_ stream: HTTP2Stream) {
        stream.marks.inboundEnded = true
        markReady(stream)
    }

    private static func isInterim(_ fields: borrowing HeaderBlock) -> Bool {
        guard fields.count > 0, ASCII.equal(fields.name(0), ":status") else { return false }
        let status = fields.value(0)
        return status.count == 3 && status[0] == 0x31
    }

    private func closed(_ id: Int32, _ code: UInt32) {
        guard let stream = openStream(id) else { return }
        stream.marks.isClosed = true
        pastStreams.add(id, byPeer: stream.marks.inboundEnded || stream.marks.wasResetByPeer)
        // What GOAWAY overtook here was never sent, whatever nghttp2 calls it.
        let wasKept = role == .client && !stream.marks.isSent
        record(.closed(stream, code: wasKept ? Code.refusedStream.rawValue : code))
    }

    private func refused(_ id: Int32) {
        pastStreams.add(id, byPeer: false)
        note(.resets)
        record(.refusedStream)
    }

    // MARK: what goes out

    private func sent(_ frame: nghttp2_frame) {
        switch UInt32(frame.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream = openStream(frame.hd.stream_id) else { return }
            stream.marks.isSent = true
            stream.headWasSent()
        case NGHTTP2_RST_STREAM.rawValue:
            // A peer that has its streams reset by faults of its own costs as much as one that resets them.
            if Code(rawValue: frame.rst_stream.error_code) == nil { note(.resets) }
        case NGHTTP2_GOAWAY.rawValue:
            // Submitted with the announcement, the PING would overtake it, and its answer would tell nothing.
            if role == .server, !hasSaidGoAway, frame.goaway.last_stream_id == Int32.max { owesPing = true }
            // Of the session layer's own accord, since it found the peer at fault.
            let code = frame.goaway.error_code
            if code != Code.none.rawValue, !hasSaidGoAway { record(.fault(code)) }
        default: break
        }
    }

    static func provider(_ stream: HTTP2Stream) -> nghttp2_data_provider {
        nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque())
        ) { session, id, _, room, flags, source, user in
            guard let pointer = source?.pointee.ptr, let flags else {
                return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
            }
            let stream = Unmanaged<HTTP2Stream>.fromOpaque(pointer).takeUnretainedValue()
            var count = min(room, stream.marks.outboundCount)
            HTTP2Session.with(user) { count = $0.fit(count) }
            let isLast = stream.marks.outboundEnded && count == stream.marks.outboundCount
            guard count > 0 || isLast else {
                stream.marks.isDeferred = true
                return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            }
            flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
            if isLast {
                flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                if stream.marks.hasTrailerLines, HTTP2Session.submitTrailers(session, id, stream.trailerLines) {
                    flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                }
            }
            return count
        }
    }

    /// Ends a frame with its record, if it is longer: what goes beyond would be a short record, with a write of its own.
    private func fit(_ count: Int) -> Int {
        guard let output else { return count }
        let left = Self.recordBytes - output.pointee.count % Self.recordBytes - Self.frameHeaderBytes
        return left < Self.leastFrame ? count : min(count, left)
    }

    /// - Returns: whether there are any.
    private static func submitTrailers(_ session: OpaquePointer?, _ id: Int32, _ lines: borrowing ByteQueue) -> Bool {
        guard !lines.isEmpty else { return false }
        var vector = FieldVector()
        var isSubmitted = false
        lines.bytes.withUnsafeBufferPointer {
            vector.withTrailers(copying: $0) { fields, count in
                isSubmitted = count > 0 && nghttp2_submit_trailer(session, id, fields, count) == 0
            }
        }
        return isSubmitted
    }

    private func sendData(
        _ stream: HTTP2Stream,
        _ header: UnsafePointer<UInt8>,
        _ count: Int,
        padding: Int
    ) -> CInt {
        guard let output else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        guard output.pointee.count < outputLimit else { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        // No padding is asked for, so none can be due; what is amiss with one stream is no other's harm.
        guard padding == 0, stream.marks.outboundCount >= count else {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        // All that waits, with its frames' headers, as far as it is taken at once.
        let room = min(stream.marks.outboundCount + 64, outputLimit - output.pointee.count)
        stream.move(count, behind: header, Self.frameHeaderBytes, room: room, to: &output.pointee)
        bodyBytesOut &+= UInt64(truncatingIfNeeded: count)
        noteSent(count, more: stream.marks.outboundCount > 0)
        return 0
    }
}
