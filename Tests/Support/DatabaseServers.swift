import Foundation
import Platform

/// A server program of a test: started in a folder of its own, ended with it.
public class ServerProgram {
    /// Its folder, open to the user that it runs as.
    public let folder: TemporaryFolder
    /// Where it listens.
    public internal(set) var port: UInt16
    fileprivate var process: Int32 = 0

    fileprivate init(_ trust: TestTrust) throws {
        folder = try TemporaryFolder()
        port = try freePort()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
    }

    deinit {
        guard process > 0 else { return }
        kill(process, SIGQUIT)
        kill(process, SIGKILL)
        _ = ChildProcess.wait(for: process)
    }

    /// Runs shell lines to their end; `$0` is the folder.
    fileprivate func prepare(_ script: String) throws {
        let result = try Shell.run(["sh", "-ec", script, folder.path], merged: true)
        guard result.status == 0 else { throw DeadlinePassed(description: "setting a server up:\n\(result.text)") }
    }

    /// Starts a program that goes on; `$0` is the folder.
    fileprivate func start(_ script: String) throws {
        process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "exec \(script) > $0/output 2>&1", folder.path],
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
    }

    /// What it has printed.
    public var output: String { (try? String(decoding: File.read("\(folder.path)/output"), as: UTF8.self)) ?? "" }
}

/// PostgreSQL, as its own user, which is not root.
public final class PostgresServer: ServerProgram {
    private static let programs = "/usr/lib/postgresql/15/bin"

    /// Makes a cluster with user `alice`, password `secret`, and starts it; only TLS is let in, by SCRAM.
    public override init(_ trust: TestTrust) throws {
        try super.init(trust)
        try launch(hasTLS: true)
    }

    /// - Parameters:
    ///   - hasTLS: without it, the server answers SSLRequest with N.
    ///   - alsoPlain: whether who does not ask for TLS is let in, too.
    ///   - rules: the lines of pg_hba.conf; nil for everybody with a password.
    public init(_ trust: TestTrust, hasTLS: Bool, alsoPlain: Bool = false, rules: String? = nil) throws {
        try super.init(trust)
        try launch(hasTLS: hasTLS, alsoPlain: alsoPlain, rules: rules)
    }

    private func launch(hasTLS: Bool, alsoPlain: Bool = false, rules: String? = nil) throws {
        let usual = "\(hasTLS && !alsoPlain ? "hostssl" : "host") all all 127.0.0.1/32 scram-sha-256"
        let user = geteuid() == 0 ? "runuser -u postgres --" : ""
        try prepare(
            """
            echo secret > $0/password
            [ "$(id -u)" != 0 ] || chown postgres $0 $0/*
            \(user) \(Self.programs)/initdb -D $0/data -U alice -A scram-sha-256 --pwfile=$0/password --no-sync
            echo "\(rules ?? usual)" > $0/data/pg_hba.conf
            """
        )
        try start(
            "\(user) \(Self.programs)/postgres -D $0/data -p \(port) -k $0 -c fsync=off "
                + "-c ssl=\(hasTLS ? "on" : "off") -c ssl_cert_file=$0/app.pem -c ssl_key_file=$0/app.key"
        )
        try waitUntil("PostgreSQL:\n\(output)", seconds: 60) {
            output.contains("ready to accept connections") || output.contains("bereit")
        }
    }
}

/// MariaDB, as its own user.
public final class MariaDBServer: ServerProgram {
    /// Makes a data folder with users `bob` (native), `ed` (ed25519), both `s3cret-Password`, and starts it.
    ///
    /// - Parameters:
    ///   - hasTLS: whether TLS is spoken.
    ///   - requiresTLS: whether nothing else is let in over TCP then.
    ///   - prepare: shell lines to begin with; `$0` is the folder.
    ///   - settings: lines of my.cnf; FOLDER stands for the folder.
    public init(
        _ trust: TestTrust,
        hasTLS: Bool = true,
        requiresTLS: Bool = true,
        prepare script: String = "",
        settings: String = ""
    ) throws {
        try super.init(trust)
        try folder.write("my.cnf", settings.replacingOccurrences(of: "FOLDER", with: folder.path))
        if !script.isEmpty { try prepare(script) }
        let user = geteuid() == 0 ? "--user=mysql" : ""
        try folder.write(
            "users.sql",
            """
            CREATE USER bob@'127.0.0.1' IDENTIFIED BY 's3cret-Password';
            INSTALL SONAME 'auth_ed25519';
            CREATE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('s3cret-Password');
            GRANT ALL ON *.* TO bob@'127.0.0.1';
            GRANT ALL ON *.* TO ed@'127.0.0.1';
            CREATE DATABASE clinic;
            """
        )
        // Each begins by deleting what it takes for its own leavings in the folder for temporary tables.
        try prepare(
            """
            mkdir $0/tmp
            [ "$(id -u)" != 0 ] || chown mysql $0 $0/*
            TMPDIR=$0/tmp mariadb-install-db --no-defaults \(user) --datadir=$0/data --auth-root-authentication-method=normal --skip-test-db
            """
        )
        let tls =
            hasTLS
            ? "--ssl-cert=$0/app.pem --ssl-key=$0/app.key --require-secure-transport=\(requiresTLS ? "ON" : "OFF")"
            : "--skip-ssl"
        try start(
            "mariadbd --defaults-file=$0/my.cnf \(user) --datadir=$0/data --tmpdir=$0/tmp --port=\(port) --socket=$0/socket "
                + "--bind-address=127.0.0.1 --skip-name-resolve --pid-file=$0/pid \(tls)"
        )
        let path = folder.path
        try waitUntil("MariaDB:\n\(output)", seconds: 60) {
            try Shell.run(
                ["mariadb", "--no-defaults", "-uroot", "-S", "\(path)/socket", "-e", "SELECT 1"],
                merged: true
            )
            .status == 0
        }
        try prepare("mariadb --no-defaults -uroot -S $0/socket < $0/users.sql")
    }

    /// Runs statements as root.
    public func run(_ statements: String) throws {
        try folder.write("statements.sql", statements)
        try prepare("mariadb --no-defaults -uroot -S $0/socket < $0/statements.sql")
    }
}

/// A server of the test's own, in Python, that prints its port and logs what it saw.
public final class PeerServer: ServerProgram {
    /// - Parameters:
    ///   - script: its file in `Tests/Peers`.
    ///   - arguments: what it is to be like.
    public convenience init(_ trust: TestTrust, script: String, _ arguments: String...) throws {
        try self.init(trust, script: script, arguments: arguments)
    }

    /// - Parameters:
    ///   - script: its file in `Tests/Peers`.
    ///   - arguments: what it is to be like; each stands between single quotes of the shell.
    public init(_ trust: TestTrust, script: String, arguments: [String]) throws {
        try super.init(trust)
        let peers = #filePath.components(separatedBy: "/Support/")[0] + "/Peers"
        try start(
            "/usr/bin/python3 -W ignore \(peers)/\(script) --cert $0/app.pem --key $0/app.key --log $0/log "
                + arguments.map { "'\($0)'" }.joined(separator: " ")
        )
        try waitUntil("\(script):\n\(output)") {
            let text = output
            guard text.hasSuffix("\n"), let port = UInt16(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
                return false
            }
            self.port = port
            return true
        }
    }

    /// What it saw, one JSON object per line.
    public var log: String { (try? String(decoding: File.read("\(folder.path)/log"), as: UTF8.self)) ?? "" }
}

/// Runs a Python program that prints what a client library gets; the system's Python, which has the libraries.
public func python(_ program: String, environment: [String] = []) throws -> String {
    try Shell.run(["env"] + environment + ["/usr/bin/python3", "-W", "ignore", "-c", program], merged: true).text
}
