/// Whether MySQL or MariaDB insists on encrypted connections, asked over one.
public enum SecureTransport {
    /// Logs in and asks.
    ///
    /// - Throws: `DatabaseFailure` when that is refused; a server too old to know the setting does not insist.
    public static func isRequired(_ access: DatabaseAccess, _ credentials: DatabaseCredentials) throws -> Bool {
        let session = try DatabaseLink.open(access, credentials, database: nil)
        let statement = "SHOW GLOBAL VARIABLES LIKE 'require_secure_transport'"
        let value = try session.rows(statement).first?.last.flatMap { $0 }
        return value?.uppercased() == "ON" || value == "1"
    }
}
