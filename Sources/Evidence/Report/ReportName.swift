/// What a report's file is called: the second that the audit began, and a number when that is taken.
///
/// Names are ordered as the chain is, even when the clock is set back.
struct ReportName: Hashable, Comparable, CustomStringConvertible {
    /// `20261125T101500Z`.
    let stamp: String
    /// 1 for the first report of a second.
    let number: Int

    /// The file of the JSON report.
    var description: String { base + ".json" }
    /// The file of the same report for people.
    var html: String { base + ".html" }
    private var base: String { number == 1 ? "audit-\(stamp)" : "audit-\(stamp)-\(number)" }

    /// The name of a report that follows `last`.
    ///
    /// - Parameter begun: when the audit began, as in `2026-11-25T10:15:00Z`; fractions of a second do not count.
    init?(begun: String, after last: ReportName?) {
        let digits = begun.prefix { $0 != "." && $0 != "Z" }.filter { $0 != "-" && $0 != ":" }
        guard let name = ReportName("audit-\(digits)Z.json") else { return nil }
        if let last, last.stamp >= name.stamp {
            stamp = last.stamp
            number = last.number + 1
        } else {
            self = name
        }
    }

    /// Whether a report that began then, and follows that one, is called so.
    func suits(begun: String, after last: ReportName?) -> Bool { self == ReportName(begun: begun, after: last) }

    /// Reads a file's name; nil for any other file.
    init?(_ file: String) {
        let bytes = Array(file.utf8)
        guard file.hasPrefix("audit-"), file.hasSuffix(".json"), bytes.count >= 27 else { return nil }
        let stamp = bytes[6..<22]
        for (index, byte) in stamp.enumerated() {
            switch index {
            case 8: guard byte == 0x54 else { return nil }
            case 15: guard byte == 0x5A else { return nil }
            default: guard (0x30...0x39).contains(byte) else { return nil }
            }
        }
        self.stamp = String(decoding: stamp, as: UTF8.self)
        let rest = bytes[22..<(bytes.count - 5)]
        if rest.isEmpty {
            number = 1
            return
        }
        let digits = rest.dropFirst()
        guard rest.first == 0x2D, (1...9).contains(digits.count), digits.first != 0x30 else { return nil }
        var number = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            number = number * 10 + Int(digit - 0x30)
        }
        guard number > 1 else { return nil }
        self.number = number
    }

    /// By time, then by number.
    static func < (left: ReportName, right: ReportName) -> Bool {
        (left.stamp, left.number) < (right.stamp, right.number)
    }

    /// The reports of a folder, the oldest first.
    static func all(of names: [String]) -> [ReportName] { names.compactMap { ReportName($0) }.sorted() }
}
