import ArgumentParser
import Config
import Database
import Evidence
import Glibc
import Platform
import TLS

/// Which database, and who asks it.
struct DatabaseChoice: ParsableArguments {
    /// Holds a password where no file does.
    static let variable = "EVERYHOP_DATABASE_PASSWORD"

    @Argument(help: "The database's name in the configuration.")
    var name: String

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String

    @Option(help: "The database user; that of credentials by default.")
    var user: String?

    @Option(help: "A file with the user's password; otherwise \(variable), or that of credentials.")
    var passwordFile: String?

    @Option(help: "Seconds that connecting, and each question, may take.")
    var timeout = 30

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout is from 1 to 86400") }
    }

    /// The database as its workers reach it, and the credentials, if there are any.
    func resolve() throws -> (access: DatabaseAccess, credentials: DatabaseCredentials?) {
        let report = Loader.load(config, keepsCertificates: false)
        guard let bundle = report.bundle, let configuration = try? bundle.configuration() else {
            Complaint.write(report.findings + "everyhop: the configuration cannot be used")
            throw ExitCode(2)
        }
        guard let database = configuration.databases.first(where: { $0.name == name }) else {
            let names = configuration.databases.map(\.name).joined(separator: ", ")
            throw ValidationError("there is no database \"\(name)\"; there is \(names.isEmpty ? "none" : names)")
        }
        return try Refusal.explained {
            let access = try Self.access(to: database, bundle, configuration, milliseconds: UInt64(timeout) * 1000)
            return (access, try Self.credentials(for: database, file: config, user: user, passwordFile: passwordFile))
        }
    }

    /// How a database is reached: with the trust, the name and the versions that its workers go by.
    static func access(
        to database: Config.Database,
        _ bundle: Bundle,
        _ configuration: Configuration,
        milliseconds: UInt64
    ) throws -> DatabaseAccess {
        let identities = Set([database.clientCertificate?.value].compactMap { $0 })
        let store = try CertificateStore(bundle, configuration, only: identities)
        let server = database.server.value
        let addresses =
            try server.socketAddress.map { [$0] }
            ?? NameResolution.resolve(server.hostName ?? "", port: server.port ?? 0)
        return DatabaseAccess(
            database: database,
            addresses: addresses,
            context: try Snapshot.context(for: database, bundle, store, configuration),
            milliseconds: milliseconds
        )
    }

    /// Who asks; nil when nobody is named.
    ///
    /// - Parameters:
    ///   - file: the configuration, which relative paths in it begin at.
    ///   - user: in place of the configuration's.
    ///   - passwordFile: in place of the environment's and the configuration's.
    static func credentials(
        for database: Config.Database,
        file: String,
        user: String? = nil,
        passwordFile: String? = nil
    ) throws -> DatabaseCredentials? {
        guard let user = user ?? database.credentials?.user.value else { return nil }
        if let passwordFile { return try DatabaseCredentials(user: user, passwordFile: passwordFile) }
        if let password = getenv(variable) {
            return DatabaseCredentials(user: user, password: Array(String(cString: password).utf8))
        }
        guard let configured = database.credentials?.passwordFile else { return nil }
        return try DatabaseCredentials(user: user, passwordFile: Loader.resolved(configured.value, beside: file))
    }
}
