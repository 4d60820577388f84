import Bytes

/// Reads dates of HTTP (RFC 9110 §5.6.7), in all three forms.
public enum HTTPDate {
    /// Seconds since 1970; nil for what is no date.
    ///
    /// - Parameter now: the current time, which tells the century of the form with two digits.
    public static func read(_ text: Span<UInt8>, now: Int64) -> Int64? {
        var comma = 0
        while comma < text.count, text[comma] != 0x2C { comma += 1 }
        if comma == text.count { return asctime(text) }
        return comma == 3 ? fixed(text) : rfc850(text, comma, now)
    }

    /// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
    private static func fixed(_ text: Span<UInt8>) -> Int64? {
        guard text.count == 29, text[4] == 0x20, text[7] == 0x20, text[11] == 0x20, text[16] == 0x20,
            ASCII.equal(text.extracting(25..<29), " GMT")
        else { return nil }
        return seconds(number(text, 12, 4), month(text, 8), number(text, 5, 2), text.extracting(17..<25))
    }

    /// Reads `Sunday, 06-Nov-94 08:49:37 GMT`.
    private static func rfc850(_ text: Span<UInt8>, _ comma: Int, _ now: Int64) -> Int64? {
        guard text.count == comma + 24, text[comma + 1] == 0x20, text[comma + 4] == 0x2D, text[comma + 8] == 0x2D,
            text[comma + 11] == 0x20, ASCII.equal(text.extracting(comma + 20..<text.count), " GMT"),
            let short = number(text, comma + 9, 2)
        else { return nil }
        // A year that would be more than 50 ahead is of the century before.
        let thisYear = 1970 + now / 31_556_952
        var year = thisYear - thisYear % 100 + short
        if year > thisYear + 50 { year -= 100 }
        return seconds(
            year,
            month(text, comma + 5),
            number(text, comma + 2, 2),
            text.extracting(comma + 12..<comma + 20)
        )
    }

    /// Reads `Sun Nov  6 08:49:37 1994`.
    private static func asctime(_ text: Span<UInt8>) -> Int64? {
        guard text.count == 24, text[3] == 0x20, text[7] == 0x20, text[10] == 0x20, text[19] == 0x20 else { return nil }
        let day = text[8] == 0x20 ? number(text, 9, 1) : number(text, 8, 2)
        return seconds(number(text, 20, 4), month(text, 4), day, text.extracting(11..<19))
    }

    private static func number(_ text: Span<UInt8>, _ start: Int, _ count: Int) -> Int64? {
        ASCII.decimal(text.extracting(start..<start + count)).map { Int64($0) }
    }

    private static func month(_ text: Span<UInt8>, _ start: Int) -> Int64? {
        let name = text.extracting(start..<start + 3)
        let names: [StaticString] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        for (index, candidate) in names.enumerated() where ASCII.equal(name, candidate) { return Int64(index + 1) }
        return nil
    }

    private static func seconds(_ year: Int64?, _ month: Int64?, _ day: Int64?, _ time: Span<UInt8>) -> Int64? {
        guard let year, let month, let day, time[2] == 0x3A, time[5] == 0x3A, let hour = number(time, 0, 2),
            let minute = number(time, 3, 2), let second = number(time, 6, 2)
        else { return nil }
        guard year >= 1, (1...31).contains(day), hour < 24, minute < 60, second <= 60 else { return nil }
        // Days by years that start in March.
        let shifted = month > 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3600 + minute * 60 + second
    }
}
