import Bytes

/// The directive that makes browsers fetch by https what a page names by http (Upgrade Insecure Requests §3.1).
enum SecurityPolicy {
    /// Whether some policy of the response says it already.
    static func upgrades(_ fields: borrowing HeaderBlock) -> Bool {
        for index in 0..<fields.count where fields[index].id == .contentSecurityPolicy {
            if upgrades(fields.value(index)) { return true }
        }
        return false
    }

    /// Policies are separated by commas, directives by semicolons (CSP3 §2.2).
    private static func upgrades(_ value: Span<UInt8>) -> Bool {
        var start = 0
        while start < value.count {
            var end = start
            while end < value.count, value[end] != 0x3B, value[end] != 0x2C { end += 1 }
            var name = ASCII.trimmed(value, start..<end)
            for index in name where value[index] == 0x20 || value[index] == 0x09 {
                name = name.lowerBound..<index
                break
            }
            if ASCII.equalIgnoringCase(value.extracting(name), "upgrade-insecure-requests") { return true }
            start = end + 1
        }
        return false
    }
}
