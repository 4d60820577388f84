/// A statement: what is sent, and what may be shown, where secrets have only a name.
public struct SQLText: Equatable, Sendable {
    /// As the server gets it.
    private(set) var sent: String
    /// As people and logs get it.
    public private(set) var shown: String

    init(_ text: String) {
        sent = text
        shown = text
    }

    /// The statement with a text in it that is a secret.
    ///
    /// - Parameter name: what is shown in its place.
    func adding(secret: String, called name: String) -> SQLText {
        var longer = self
        longer.sent += TransactSQL.string(secret)
        longer.shown += "N'<\(name)>'"
        return longer
    }

    func adding(_ text: String) -> SQLText {
        var longer = self
        longer.sent += text
        longer.shown += text
        return longer
    }
}

/// How SQL Server takes names and texts (Microsoft's "Database identifiers" and "Constants").
enum TransactSQL {
    /// A name in brackets, of which the closing one is doubled.
    static func name(_ name: String) -> String { "[" + doubled("]", in: name) + "]" }

    /// A text in Unicode, its quotes doubled.
    static func string(_ text: String) -> String { "N'" + doubled("'", in: text) + "'" }

    /// By scalars: a quote followed by a combining mark is a quote for the server, though not a Character of its own.
    static func doubled(_ mark: Unicode.Scalar, in text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if scalar == mark { result.append(mark) }
            result.append(scalar)
        }
        return String(result)
    }
}

/// How MySQL and MariaDB take names and texts.
enum MySQLText {
    /// A name in backticks, doubled within.
    static func name(_ name: String) -> String { "`" + TransactSQL.doubled("`", in: name) + "`" }

    /// A text: quotes and backslashes doubled, so that it cannot end early whether or not backslashes escape.
    static func string(_ text: String) -> String {
        "'" + TransactSQL.doubled("\\", in: TransactSQL.doubled("'", in: text)) + "'"
    }
}
