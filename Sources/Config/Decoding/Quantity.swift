/// Times and sizes with their units.
enum Quantity {
    /// `500ms`, `30s`, `2m`, `12h`, `30d`, as milliseconds; nil for anything else, zero, or more than `most`, a year.
    static func milliseconds(_ text: String, most: UInt64 = 366 * 86_400_000) -> UInt64? {
        guard let (number, unit) = split(text) else { return nil }
        let factor: UInt64
        switch unit {
        case "ms": factor = 1
        case "s": factor = 1000
        case "m": factor = 60_000
        case "h": factor = 3_600_000
        case "d": factor = 86_400_000
        default: return nil
        }
        let value = number * factor
        return value > 0 && value <= most ? value : nil
    }

    /// `64KiB`, `10MiB`, `2GiB`, or bytes; nil for anything else, or zero.
    static func bytes(_ text: String) -> UInt64? {
        guard let (number, unit) = split(text) else { return nil }
        let factor: UInt64
        switch unit {
        case "", "B": factor = 1
        case "KiB": factor = 1 << 10
        case "MiB": factor = 1 << 20
        case "GiB": factor = 1 << 30
        default: return nil
        }
        return number > 0 ? number * factor : nil
    }

    /// At most nine digits, then a unit: nothing here can overflow.
    private static func split(_ text: String) -> (UInt64, String)? {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        guard (1...9).contains(digits.count) else { return nil }
        let number = digits.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 0x30) }
        return (number, String(text.dropFirst(digits.count)))
    }
}

/// Which known word somebody meant.
enum Spelling {
    /// The nearest word within a third of its length, transpositions counted once.
    static func nearest(to word: String, among words: Set<String>) -> String? {
        var best: (distance: Int, word: String)?
        for candidate in words.sorted() {
            let distance = distance(Array(word.lowercased().utf8.prefix(64)), Array(candidate.utf8))
            guard distance <= max(1, candidate.utf8.count / 3) else { continue }
            if best.map({ distance < $0.distance }) ?? true { best = (distance, candidate) }
        }
        return best?.word
    }

    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before = [Int](repeating: 0, count: right.count + 1)
        var last = Array(0...right.count)
        for row in 0..<left.count {
            var next = [row + 1]
            for column in 0..<right.count {
                var cost = min(
                    last[column + 1] + 1,
                    next[column] + 1,
                    last[column] + (left[row] == right[column] ? 0 : 1)
                )
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, before[column - 1] + 1)
                }
                next.append(cost)
            }
            before = last
            last = next
        }
        return last[right.count]
    }
}
