public import Platform

/// Who asks a database how it stores its data.
public struct DatabaseCredentials: Sendable {
    /// The database user.
    public let user: String
    /// Never printed or logged.
    let password: [UInt8]

    /// A user with a password.
    public init(user: String, password: [UInt8]) {
        self.user = user
        self.password = password
    }

    /// A user whose password is in a file that only its owner can read.
    public init(user: String, passwordFile: String) throws(SecretFile.Failure) {
        self.init(user: user, password: try SecretFile.readPassword(passwordFile))
    }
}
