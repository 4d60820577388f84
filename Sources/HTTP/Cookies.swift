import Bytes

/// Finding fields that only a configuration names, and cookies in them.
extension HeaderBlock {
    /// The first line of a name in small letters.
    public func first(named name: String) -> Int? {
        for index in 0..<count where Self.spells(self.name(index), name) { return index }
        return nil
    }

    /// Where the value of a cookie lies (RFC 6265 §4.2.1): in which line, and where in its value.
    ///
    /// The first of several counts; quotation marks are part of the value.
    public func cookie(named name: String) -> (line: Int, range: Range<Int>)? {
        for line in 0..<count where ASCII.equalIgnoringCase(self.name(line), "cookie") {
            let bytes = value(line)
            var start = 0
            while start < bytes.count {
                var end = start
                while end < bytes.count, bytes[end] != 0x3B { end += 1 }
                let pair = ASCII.trimmed(bytes, start..<end)
                if let range = Self.value(bytes, pair, of: name) { return (line, range) }
                start = end + 1
            }
        }
        return nil
    }

    private static func value(_ bytes: Span<UInt8>, _ pair: Range<Int>, of name: String) -> Range<Int>? {
        var index = pair.lowerBound
        for byte in name.utf8 {
            guard index < pair.upperBound, bytes[index] == byte else { return nil }
            index += 1
        }
        guard index < pair.upperBound, bytes[index] == 0x3D else { return nil }
        return index + 1..<pair.upperBound
    }

    private static func spells(_ name: Span<UInt8>, _ wanted: String) -> Bool {
        guard name.count == wanted.utf8.count else { return false }
        var index = 0
        for byte in wanted.utf8 {
            guard ASCII.lowercase(name[index]) == byte else { return false }
            index += 1
        }
        return true
    }
}
