import Bytes

/// The fields of a message in their order, as ranges of one arena (RFC 9110 §5).
///
/// Fields of one name stay separate lines; nothing is merged. `removeAll` keeps the memory for the next message, unless
/// it is unusually much.
public struct HeaderBlock: Sendable {
    /// One field line.
    public struct Field: Sendable {
        /// Which known name it bears.
        public let id: FieldName
        /// Whether the arena holds it as it is written: a colon and a space between name and value, a line end behind it.
        let isWritten: Bool
        let name: Range<Int>
        let value: Range<Int>

        /// Where it lies as a whole line, if it does.
        var line: Range<Int> { name.lowerBound..<value.upperBound &+ 2 }
    }

    var arena = ByteArena()
    private var fields: [Field] = []
    /// Which names there are, one bit each.
    private var names: UInt64 = 0
    /// What the Connection field says.
    private(set) var options = ConnectionOptions()

    /// Makes an empty block.
    public init() {}

    /// How many field lines there are.
    public var count: Int { fields.count }

    /// Drops every field.
    public mutating func removeAll() {
        arena.removeAll()
        names = 0
        options = ConnectionOptions()
        if !fields.isEmpty { fields.removeAll(keepingCapacity: fields.capacity <= Self.maximumCount) }
    }

    /// The line at `index`.
    public subscript(_ index: Int) -> Field { fields[index] }

    /// The name at `index` as it was sent.
    @_lifetime(borrow self)
    public func name(_ index: Int) -> Span<UInt8> { arena.bytes.extracting(fields[index].name) }

    /// The value at `index`, without the white space around it.
    @_lifetime(borrow self)
    public func value(_ index: Int) -> Span<UInt8> { arena.bytes.extracting(fields[index].value) }

    /// The first line that bears the name.
    public func first(_ id: FieldName) -> Int? {
        guard has(id) else { return nil }
        for index in fields.indices where fields[index].id == id { return index }
        return nil
    }

    /// Whether any line bears the name.
    func has(_ id: FieldName) -> Bool { names & id.bit != 0 }

    /// How many lines bear the name.
    public func count(of id: FieldName) -> Int {
        guard has(id) else { return 0 }
        var count = 0
        for field in fields where field.id == id { count += 1 }
        return count
    }

    /// Adds a line.
    public mutating func append(name: Span<UInt8>, value: Span<UInt8>) {
        let line = arena.appendLine(name: name, value: value)
        let nameEnd = line.lowerBound + name.count
        let value = nameEnd + 2..<line.upperBound - 2
        add(Field(id: FieldName(name), isWritten: true, name: line.lowerBound..<nameEnd, value: value))
    }

    /// Adds a line whose bytes lie in the arena already.
    ///
    /// - Parameter isWritten: whether they are a whole line as it is written.
    mutating func append(name: Range<Int>, value: Range<Int>, isWritten: Bool = false) {
        let id = FieldName(arena.bytes.extracting(name))
        add(Field(id: id, isWritten: isWritten, name: name, value: value))
    }

    private mutating func add(_ field: Field) {
        names |= field.id.bit
        fields.append(field)
    }

    /// Drops the first lines.
    mutating func removeFirst(_ count: Int) { fields.removeFirst(count) }

    /// Drops lines that bear a name which the proxy does not treat in its own way, in small letters.
    mutating func removeAll(_ name: StaticString) {
        var kept = 0
        for index in fields.indices where !ASCII.equal(self.name(index), name) {
            fields[kept] = fields[index]
            kept += 1
        }
        fields.removeLast(fields.count - kept)
    }

    /// Calls `body` with each element of the comma-separated lists under `id` (RFC 9110 §5.6.1), trimmed; quoted
    /// commas do not occur in the fields this is used for.
    func forEachToken(_ id: FieldName, _ body: (Span<UInt8>) -> Void) {
        guard has(id) else { return }
        for index in fields.indices where fields[index].id == id {
            let bytes = arena.bytes
            var start = fields[index].value.lowerBound
            let end = fields[index].value.upperBound
            while start <= end {
                var stop = start
                while stop < end, bytes[stop] != 0x2C { stop += 1 }
                let range = ASCII.trimmed(bytes, start..<stop)
                if !range.isEmpty { body(bytes.extracting(range)) }
                start = stop + 1
            }
        }
    }

    /// Whether a list under `id` holds `token`, ignoring case.
    public func contains(_ token: StaticString, in id: FieldName) -> Bool {
        var found = false
        forEachToken(id) { if ASCII.equalIgnoringCase($0, token) { found = true } }
        return found
    }

    /// Reads the Connection field, when all fields are there.
    mutating func readConnection() {
        guard has(.connection) else { return }
        var options = ConnectionOptions()
        forEachToken(.connection) { token in
            if ASCII.equalIgnoringCase(token, "keep-alive") {
                options.insert(.keepAlive)
            } else {
                options.insert(ASCII.equalIgnoringCase(token, "close") ? .close : .others)
            }
        }
        self.options = options
    }

    /// Whether the Connection field nominates `name` as meant for this hop only (RFC 9110 §7.6.1).
    func isNominated(_ name: Span<UInt8>) -> Bool {
        var found = false
        forEachToken(.connection) { if ASCII.equalIgnoringCase($0, name) { found = true } }
        return found
    }
}

/// What a Connection field says (RFC 9110 §7.6.1).
struct ConnectionOptions: OptionSet, Sendable {
    let rawValue: UInt8
    static let close = ConnectionOptions(rawValue: 1)
    static let keepAlive = ConnectionOptions(rawValue: 2)
    /// It nominates other fields, or something that is not known here.
    static let others = ConnectionOptions(rawValue: 4)
}
