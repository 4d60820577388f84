/// Who logs in.
public struct ClientLogin: Sendable {
    /// The database user.
    public var user: String
    /// The password's bytes in UTF-8.
    public var password: [UInt8]
    /// The database to begin in; nil for the user's own.
    public var database: String?

    /// Names all of it.
    public init(user: String, password: [UInt8], database: String? = nil) {
        self.user = user
        self.password = password
        self.database = database
    }
}

/// What logins are computed with: algorithms are not this target's business.
public protocol LoginHashing: Sendable {
    /// MD5; nil where it is forbidden.
    func md5(_ message: [UInt8]) -> [UInt8]?
    /// SHA-1.
    func sha1(_ message: [UInt8]) -> [UInt8]?
    /// SHA-256.
    func sha256(_ message: [UInt8]) -> [UInt8]?
    /// HMAC-SHA256.
    func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8]?
    /// PBKDF2 with HMAC-SHA256, 32 bytes.
    func pbkdf2(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8]?
    /// Bytes that nobody can foretell.
    func random(_ count: Int) -> [UInt8]?
}

/// Rows that a statement brought; every value as text, nil for NULL.
public struct SQLResult: Equatable, Sendable {
    /// The columns' names.
    public internal(set) var columns: [String] = []
    /// The values, in the columns' order.
    public internal(set) var rows: [[String?]] = []

    /// Rows as they are.
    public init(columns: [String] = [], rows: [[String?]] = []) {
        self.columns = columns
        self.rows = rows
    }
}

/// What a server answers instead of doing what it was asked.
public struct ServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// SQL Server's and MySQL's number, PostgreSQL's SQLSTATE.
    public var code: String
    /// The server's own words.
    public var message: String

    /// Names both.
    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// Both.
    public var description: String { "\(message) (\(code))" }
}

/// What a client wants done next.
public enum ClientStep: Equatable, Sendable {
    /// More bytes of the server.
    case read
    /// Nothing: ask again.
    case proceed
    /// Send these.
    case send([UInt8])
    /// Nothing, until a statement is given with `ask`.
    case ready
    /// What the last statement brought.
    case answer([SQLResult])
    /// The server refuses the login, which is the end, or the last statement, which is not.
    case refused(ServerError)
    /// The server breaks its protocol, or wants what cannot be done. The end.
    case failed(String)
}

/// A step, and how many of the server's waiting bytes it has used up.
public struct ClientTurn: Equatable, Sendable {
    /// What to do.
    public var step: ClientStep
    /// Bytes that are dealt with.
    public var used: Int

    init(_ step: ClientStep, used: Int = 0) {
        self.step = step
        self.used = used
    }
}

/// A client of a database that logs in and asks in text; it performs no I/O.
///
/// It begins when TLS stands and the server is verified, so nothing that it says can leave in plain.
public enum DatabaseClient: Sendable {
    /// SQL Server.
    case tds(TDSClient)
    /// PostgreSQL.
    case postgres(PostgresClient)
    /// MySQL and MariaDB.
    case mysql(MySQLClient)

    /// The most bytes that a statement may bring, and that have to be seen at once.
    public static let mostBytes = 8 << 20
    /// The most rows that a statement may bring.
    public static let mostRows = 100_000
    /// The most columns of a row.
    static let mostColumns = 256
    /// The longest statement, in bytes of UTF-8.
    public static let longestStatement = 32_768

    /// What is next.
    ///
    /// - Parameter server: every byte of the server that waits.
    public mutating func next(_ server: Span<UInt8>) -> ClientTurn {
        switch self {
        case .tds(var machine):
            let turn = machine.next(server)
            self = .tds(machine)
            return turn
        case .postgres(var machine):
            let turn = machine.next(server)
            self = .postgres(machine)
            return turn
        case .mysql(var machine):
            let turn = machine.next(server)
            self = .mysql(machine)
            return turn
        }
    }

    /// Gives a statement to a client that is ready; any other keeps what it does.
    public mutating func ask(_ statement: String) {
        let statement = statement.utf8.count <= Self.longestStatement ? statement : ""
        switch self {
        case .tds(var machine):
            machine.ask(statement)
            self = .tds(machine)
        case .postgres(var machine):
            machine.ask(statement)
            self = .postgres(machine)
        case .mysql(var machine):
            machine.ask(statement)
            self = .mysql(machine)
        }
    }

    /// What a client that is ready says before it goes, so that the server does not take it for lost; nil for nothing.
    public var farewell: [UInt8]? {
        switch self {
        case .tds: nil
        case .postgres(let machine): machine.isReady ? PostgresMessage.message(0x58, []) : nil
        case .mysql(let machine): machine.isReady ? MySQLPacket(0, [1]).bytes : nil
        }
    }
}
