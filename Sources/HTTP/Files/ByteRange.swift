import Bytes

/// Some of a file's bytes.
public struct ByteRange: Equatable, Sendable {
    /// The first byte.
    public let start: UInt64
    /// One past the last byte.
    public let end: UInt64

    /// Names them.
    public init(_ start: UInt64, _ end: UInt64) {
        self.start = start
        self.end = end
    }

    /// How many there are.
    public var count: UInt64 { end - start }
}

/// What a Range field asks for (RFC 9110 §14.2).
public enum RangeRequest: Equatable, Sendable {
    /// All of it: there is no Range, or none that is followed.
    case whole
    /// These, in the order asked for.
    case parts([ByteRange])
    /// Nothing that there is.
    case unsatisfiable

    /// More than this nobody needs who does not mean to make work (RFC 9110 §17.15).
    private static let mostParts = 16

    /// Reads the field's value.
    ///
    /// What is malformed, in another unit, or asks for more than the whole file in pieces, is ignored, as RFC 9110
    /// §14.2 allows.
    public init(_ value: Span<UInt8>, size: UInt64) {
        self = .whole
        guard size > 0, value.count > 6, ASCII.equalIgnoringCase(value.extracting(0..<6), "bytes=") else { return }
        var parts: [ByteRange] = []
        var elements = 0
        var total: UInt64 = 0
        var start = 6
        while start <= value.count {
            var end = start
            while end < value.count, value[end] != 0x2C { end += 1 }
            let element = ASCII.trimmed(value, start..<end)
            start = end + 1
            if element.isEmpty { continue }
            elements += 1
            guard elements <= Self.mostParts else { return }
            switch Self.spec(value.extracting(element), size) {
            case .malformed: return
            case .beyond: break
            case .range(let range):
                parts.append(range)
                total += range.count
            }
        }
        guard elements > 0, total <= size else { return }
        self = parts.isEmpty ? .unsatisfiable : .parts(parts)
    }

    private enum Spec {
        case range(ByteRange)
        /// It begins after the end.
        case beyond
        case malformed
    }

    /// `first-last`, `first-` or `-length`.
    private static func spec(_ text: Span<UInt8>, _ size: UInt64) -> Spec {
        var dash = 0
        while dash < text.count, text[dash] != 0x2D { dash += 1 }
        guard dash < text.count else { return .malformed }
        let rest = text.extracting(dash + 1..<text.count)
        if dash == 0 {
            guard let length = number(rest) else { return .malformed }
            return length == 0 ? .beyond : .range(ByteRange(size - min(length, size), size))
        }
        guard let first = number(text.extracting(0..<dash)) else { return .malformed }
        var last = UInt64.max - 1
        if !rest.isEmpty {
            guard let told = number(rest), told >= first else { return .malformed }
            last = told
        }
        return first >= size ? .beyond : .range(ByteRange(first, min(last, size - 1) + 1))
    }

    /// Digits; what is too large for any file counts as the largest number.
    private static func number(_ digits: Span<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for index in digits.indices {
            guard ASCII.isDigit(digits[index]) else { return nil }
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, carries) = product.addingReportingOverflow(UInt64(digits[index] &- 0x30))
            value = overflows || carries ? .max - 1 : sum
        }
        return digits.isEmpty ? nil : value
    }
}
