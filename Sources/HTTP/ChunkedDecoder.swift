import Bytes

/// What is wrong with a chunked body (RFC 9112 §7.1).
public enum ChunkError: Error, Equatable, Sendable {
    /// A size that is not one to sixteen hexadecimal digits, or overflows.
    case invalidSize
    /// An extension with control bytes, or longer than 256 bytes.
    case invalidExtension
    /// A line feed without a carriage return, or a carriage return without a line feed.
    case invalidLineEnd
    /// Data that is not followed by a line end.
    case missingLineEnd
    /// A trailer line that breaks RFC 9112 §5.
    case invalidTrailer
    /// More trailers than 16 KiB.
    case trailersTooLong
}

/// Takes a chunked body apart, piece by piece; extensions are dropped, trailers are kept.
public struct ChunkedDecoder: Sendable {
    /// What came next.
    public enum Step: Equatable, Sendable {
        /// Data, as a range of the span that was given.
        case data(Range<Int>)
        /// Everything given was used up and the body is not at its end.
        case needMore
        /// The body is complete.
        case end
    }

    private enum State: Sendable {
        case size
        case extensions
        case sizeLineFeed
        case data
        case dataReturn
        case dataLineFeed
        case trailer
        case ended
    }

    private static let trailerLimit = 16_384
    private static let extensionLimit = 256

    private var state = State.size
    private var size: UInt64 = 0
    private var digits = 0
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var line = ByteArena()

    /// Begins with a new body.
    public init() {}

    /// Goes on at `offset`, which moves past what was used.
    ///
    /// - Parameter trailers: takes the trailer fields (RFC 9110 §6.5).
    public mutating func next(
        _ bytes: Span<UInt8>,
        from offset: inout Int,
        trailers: inout HeaderBlock
    ) throws(ChunkError) -> Step {
        while offset < bytes.count {
            let byte = bytes[offset]
            switch state {
            case .size:
                offset += 1
                try sizeByte(byte)
            case .extensions:
                offset += 1
                try extensionByte(byte)
            case .sizeLineFeed:
                guard byte == 0x0A else { throw .invalidLineEnd }
                offset += 1
                state = size == 0 ? .trailer : .data
            case .data:
                let count = Int(min(UInt64(bytes.count - offset), size))
                let range = offset..<offset + count
                size -= UInt64(count)
                offset += count
                if size == 0 { state = .dataReturn }
                return .data(range)
            case .dataReturn:
                guard byte == 0x0D else { throw .missingLineEnd }
                offset += 1
                state = .dataLineFeed
            case .dataLineFeed:
                guard byte == 0x0A else { throw .invalidLineEnd }
                offset += 1
                startSize()
            case .trailer:
                offset += 1
                if try trailerByte(byte, &trailers) {
                    state = .ended
                    return .end
                }
            case .ended: return .end
            }
        }
        return .needMore
    }

    private mutating func startSize() {
        state = .size
        size = 0
        digits = 0
        extensionBytes = 0
    }

    private mutating func sizeByte(_ byte: UInt8) throws(ChunkError) {
        if let digit = ASCII.hexValue(byte) {
            // Sixty bits are more than any body; one digit more could overflow.
            guard digits < 15 else { throw .invalidSize }
            size = size << 4 | UInt64(digit)
            digits += 1
            return
        }
        guard digits > 0 else { throw .invalidSize }
        switch byte {
        case 0x0D: state = .sizeLineFeed
        case 0x3B: state = .extensions
        case 0x0A: throw .invalidLineEnd
        default: throw .invalidSize
        }
    }

    private mutating func extensionByte(_ byte: UInt8) throws(ChunkError) {
        if byte == 0x0D {
            state = .sizeLineFeed
            return
        }
        if byte == 0x0A { throw .invalidLineEnd }
        extensionBytes += 1
        guard ASCII.isFieldContent(byte), byte < 0x7F, extensionBytes <= Self.extensionLimit else {
            throw .invalidExtension
        }
    }

    /// Collects a trailer line; true at the empty line that ends the body.
    private mutating func trailerByte(_ byte: UInt8, _ trailers: inout HeaderBlock) throws(ChunkError) -> Bool {
        trailerBytes += 1
        guard trailerBytes <= Self.trailerLimit else { throw .trailersTooLong }
        let ends = line.count > 0 && line.bytes[line.count - 1] == 0x0D
        if ends {
            guard byte == 0x0A else { throw .invalidLineEnd }
            let length = line.count - 1
            if length == 0 { return true }
            try addTrailer(length, &trailers)
            line.removeAll()
            return false
        }
        if byte == 0x0A { throw .invalidLineEnd }
        var one = InlineArray<1, UInt8>(repeating: byte)
        line.append(one.span)
        one[0] = 0
        return false
    }

    private mutating func addTrailer(_ length: Int, _ trailers: inout HeaderBlock) throws(ChunkError) {
        let start = trailers.arena.append(line.bytes.extracting(0..<length)).lowerBound
        guard trailers.count < HeaderBlock.maximumCount else { throw .trailersTooLong }
        do throws(FieldFailure) {
            try trailers.parseField(start..<start + length)
        } catch { throw .invalidTrailer }
    }
}
