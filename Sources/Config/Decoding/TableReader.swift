/// Reads one table: typed values by key, every complaint with its place, unknown keys at the end.
///
/// A key that was asked for is known; `finish` complains about the others and names the nearest known one.
final class TableReader {
    /// Where complaints go; shared by all tables of a document.
    final class Complaints {
        var list: [Diagnostic] = []
    }

    let position: Position
    /// What the table is called in messages, such as `[[site]]`.
    let label: String
    let complaints: Complaints
    private let entries: [TOMLEntry]
    private var known: Set<String> = []

    init(_ node: TOMLNode, label: String, position: Position? = nil, _ complaints: Complaints) {
        self.position = position ?? node.position
        self.label = label
        self.complaints = complaints
        if case .table(let entries) = node.value {
            self.entries = entries
        } else {
            entries = []
            complaints.list.append(Diagnostic(at: node.position, "\(label) has to be a table, not \(node.kindName)"))
        }
    }

    /// The value under a key, as it is.
    func node(_ key: String) -> TOMLNode? {
        known.insert(key)
        return entries.first { $0.key == key }?.node
    }

    /// Every key with its value, for tables whose keys are names.
    func all() -> [TOMLEntry] {
        known.formUnion(entries.map(\.key))
        return entries
    }

    func complain(at position: Position, _ message: String, fix: String = "") {
        complaints.list.append(Diagnostic(at: position, message, fix: fix))
    }

    func string(_ key: String) -> Located<String>? {
        guard let node = node(key) else { return nil }
        guard case .string(let text) = node.value else {
            complain(at: node.position, "\(key) has to be a string, not \(node.kindName)")
            return nil
        }
        return Located(value: text, position: node.position)
    }

    /// A path: a string that is not empty and holds no NUL.
    func path(_ key: String) -> Located<String>? {
        guard let text = string(key) else { return nil }
        guard !text.value.isEmpty, !text.value.utf8.contains(0) else {
            complain(at: text.position, "\(key) has to be the path of a file")
            return nil
        }
        return text
    }

    func boolean(_ key: String) -> Bool? {
        guard let node = node(key) else { return nil }
        guard case .boolean(let flag) = node.value else {
            complain(at: node.position, "\(key) has to be true or false, not \(node.kindName)")
            return nil
        }
        return flag
    }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let node = node(key) else { return nil }
        guard case .integer(let number) = node.value else {
            complain(at: node.position, "\(key) has to be an integer, not \(node.kindName)")
            return nil
        }
        guard number >= Int64(range.lowerBound), number <= Int64(range.upperBound) else {
            complain(
                at: node.position,
                "\(key) \(number) is out of range",
                fix: "use a number from \(range.lowerBound) to \(range.upperBound)"
            )
            return nil
        }
        return Int(number)
    }

    /// An integer, or several in an array.
    func integers(_ key: String, in range: ClosedRange<Int>) -> [Int]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else { return integer(key, in: range).map { [$0] } }
        return elements.compactMap { element in
            if case .integer(let number) = element.value, let small = Int(exactly: number), range.contains(small) {
                return small
            }
            complain(
                at: element.position,
                "\(key) has to hold numbers from \(range.lowerBound) to \(range.upperBound)"
            )
            return nil
        }
    }

    /// The strings of an array.
    func strings(_ key: String) -> [Located<String>]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else {
            complain(at: node.position, "\(key) has to be an array of strings, not \(node.kindName)")
            return nil
        }
        return elements.compactMap { element in
            guard case .string(let text) = element.value else {
                complain(at: element.position, "\(key) has to hold strings, not \(element.kindName)")
                return nil
            }
            return Located(value: text, position: element.position)
        }
    }

    /// A certificate's name, or those of an ECDSA and an RSA one.
    func certificates(_ key: String) -> [Located<String>]? {
        var names: [Located<String>]?
        if case .array = node(key)?.value {
            names = strings(key)
        } else {
            names = string(key).map { [$0] }
        }
        if let list = names, list.isEmpty || list.count > 2 {
            complain(at: position, "a binding has one certificate, or an ECDSA and an RSA one")
            return nil
        }
        return names
    }

    /// A word of a fixed set.
    func word<Word: RawRepresentable & CaseIterable>(_ key: String, _: Word.Type) -> Word?
    where Word.RawValue == String {
        guard let text = string(key) else { return nil }
        if let word = Word(rawValue: text.value) { return word }
        let words = Word.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
        complain(at: text.position, "\(key) \"\(text.value)\" is not known", fix: "use \(words)")
        return nil
    }

    /// A time like `500ms`, `30s`, `2m`, `12h` or `30d`, in milliseconds.
    func duration(_ key: String) -> UInt64? {
        guard let text = string(key) else { return nil }
        if let value = Quantity.milliseconds(text.value) { return value }
        complain(
            at: text.position,
            "\(key) \"\(text.value)\" is not a time",
            fix: "write it like \"500ms\", \"30s\", \"2m\", \"12h\" or \"30d\""
        )
        return nil
    }

    /// The same, within bounds.
    func duration(_ key: String, within bounds: (range: ClosedRange<UInt64>, words: String)) -> UInt64? {
        guard let node = node(key), let time = duration(key) else { return nil }
        if bounds.range.contains(time) { return time }
        complain(at: node.position, "\(key) is out of range", fix: "use a time from \(bounds.words)")
        return nil
    }

    /// A size in bytes: an integer, or a string like `64KiB`.
    func size(_ key: String) -> UInt64? {
        guard let node = node(key) else { return nil }
        switch node.value {
        case .integer(let number) where number > 0: return UInt64(number)
        case .string(let text):
            if let value = Quantity.bytes(text) { return value }
        case .table, .array, .integer, .boolean, .float, .date, .time: break
        }
        complain(
            at: node.position,
            "\(key) is not a size",
            fix: "write it in bytes, or like \"64KiB\", \"10MiB\" or \"2GiB\""
        )
        return nil
    }

    /// Bytes a second, like `240B/s`; 0 for "off".
    func rate(_ key: String) -> UInt64? {
        guard let text = string(key) else { return nil }
        if text.value == "off" { return 0 }
        if text.value.hasSuffix("/s"), let value = Quantity.bytes(String(text.value.dropLast(2))) { return value }
        complain(
            at: text.position,
            "\(key) \"\(text.value)\" is not a rate",
            fix: "write it like \"240B/s\" or \"1KiB/s\", or \"off\""
        )
        return nil
    }

    /// A day, as TOML's own or as a string of the same form.
    func day(_ key: String) -> Located<CalendarDay>? {
        guard let node = node(key) else { return nil }
        switch node.value {
        case .date(let day): return Located(value: day, position: node.position)
        case .string(let text):
            if let day = CalendarDay(text) { return Located(value: day, position: node.position) }
        case .table, .array, .integer, .boolean, .float, .time: break
        }
        complain(at: node.position, "\(key) is not a day", fix: "write it like 2026-03-01")
        return nil
    }

    /// Whether a table stands under a key.
    func isTable(_ key: String) -> Bool {
        if case .table = node(key)?.value { true } else { false }
    }

    /// A table below this one.
    func table(_ key: String, label: String? = nil) -> TableReader? {
        guard let node = node(key) else { return nil }
        return TableReader(node, label: label ?? key, complaints)
    }

    /// The tables of an array of tables.
    func tables(_ key: String, label: String) -> [TableReader] {
        guard let node = node(key) else { return [] }
        guard case .array(let elements) = node.value else {
            complain(at: node.position, "\(key) has to be written as \(label)", fix: "begin it with \(label)")
            return []
        }
        return elements.map { TableReader($0, label: label, complaints) }
    }

    /// Complains about a key that is missing.
    func require(_ key: String, fix: String) {
        guard !entries.contains(where: { $0.key == key }) else { return }
        complain(at: position, "\(label) has no \(key)", fix: fix)
    }

    /// Complains about keys that nobody asked for.
    func finish() {
        for entry in entries where !known.contains(entry.key) {
            let nearest = Spelling.nearest(to: entry.key, among: known)
            complain(
                at: entry.keyPosition,
                "unknown key \"\(entry.key)\" in \(label)",
                fix: nearest.map { "did you mean \"\($0)\"?" }
                    ?? "known keys: \(known.sorted().joined(separator: ", "))"
            )
        }
    }
}
