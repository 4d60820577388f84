public import Bytes

/// The date as HTTP writes it (RFC 9110 §5.6.7), made anew once a second.
public struct DateCache: Sendable {
    private var second: UInt64 = .max
    private var text = InlineArray<29, UInt8>(repeating: 0x20)

    /// Makes the cache at the start of 1970.
    public init() { update(unixSeconds: 0) }

    /// Sets the time.
    public mutating func update(unixSeconds: UInt64) {
        guard unixSeconds != second else { return }
        second = unixSeconds
        let days = Int(truncatingIfNeeded: unixSeconds / 86_400)
        let date = Self.civil(days)
        put(Self.weekdays, at: 0, index: (days + 4) % 7)
        put(Self.months, at: 8, index: date.month - 1)
        text[3] = 0x2C
        put(date.day, at: 5, digits: 2)
        put(date.year, at: 12, digits: 4)
        let rest = Int(truncatingIfNeeded: unixSeconds % 86_400)
        put(rest / 3600, at: 17, digits: 2)
        text[19] = 0x3A
        put(rest / 60 % 60, at: 20, digits: 2)
        text[22] = 0x3A
        put(rest % 60, at: 23, digits: 2)
        text[26] = 0x47
        text[27] = 0x4D
        text[28] = 0x54
    }

    /// Writes the 29 bytes.
    public func write(into queue: inout ByteQueue) { queue.append(text.span) }

    private static var weekdays: [UInt8] { Array("SunMonTueWedThuFriSat".utf8) }
    private static var months: [UInt8] { Array("JanFebMarAprMayJunJulAugSepOctNovDec".utf8) }

    private mutating func put(_ names: [UInt8], at position: Int, index: Int) {
        for offset in 0..<3 { text[position + offset] = names[index * 3 + offset] }
    }

    private mutating func put(_ number: Int, at position: Int, digits: Int) {
        var rest = number
        for offset in (0..<digits).reversed() {
            text[position + offset] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
            rest /= 10
        }
    }

    /// The Gregorian date of a day since 1970-01-01, by years that start in March.
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let civilMonth = month < 10 ? month + 3 : month - 9
        return (yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0), civilMonth, day)
    }
}
