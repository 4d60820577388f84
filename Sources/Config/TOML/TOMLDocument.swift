/// Where something stands in a file; both count from 1.
public struct Position: Equatable, Hashable, Sendable, Comparable {
    /// The line.
    public let line: Int
    /// The column, in characters as toml++ counts them.
    public let column: Int

    /// Names a place.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// By line, then by column.
    public static func < (left: Position, right: Position) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// One value of a TOML document with its place.
public struct TOMLNode: Equatable, Sendable {
    /// What the value is.
    public enum Value: Equatable, Sendable {
        /// Keys in the order of the file.
        case table([TOMLEntry])
        /// Elements in their order.
        case array([TOMLNode])
        /// A string of any kind.
        case string(String)
        /// An integer of 64 bits.
        case integer(Int64)
        /// true or false.
        case boolean(Bool)
        /// A number with a fraction; no key takes one.
        case float
        /// A day without a time.
        case date(CalendarDay)
        /// A time, or a day with one; no key takes one.
        case time
    }

    /// Where the value begins.
    public let position: Position
    /// The value.
    public let value: Value

    /// What to call the value in a message.
    public var kindName: String {
        switch value {
        case .table: "a table"
        case .array: "an array"
        case .string: "a string"
        case .integer: "an integer"
        case .boolean: "a boolean"
        case .float: "a float"
        case .date: "a date"
        case .time: "a time"
        }
    }
}

/// One key of a table.
public struct TOMLEntry: Equatable, Sendable {
    /// The key without quotes.
    public let key: String
    /// Where the key stands.
    public let keyPosition: Position
    /// The value.
    public let node: TOMLNode
}

/// A TOML file as a tree with positions; what it means is decided elsewhere.
public struct TOMLDocument: Equatable, Sendable {
    /// The entries outside of any header.
    public let root: TOMLNode

    init(root: TOMLNode) { self.root = root }
}

/// Why a file is not TOML that is accepted.
public struct TOMLSyntaxError: Error, Equatable, Sendable {
    /// Where.
    public let position: Position
    /// What is wrong.
    public let message: String
}
