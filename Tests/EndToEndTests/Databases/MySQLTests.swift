import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("MySQL and MariaDB through everyhop", .serialized) struct MySQLTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let plain: UInt16
    let encrypted: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
        plain = try freePort()
        encrypted = try freePort()
    }

    private func start(_ server: UInt16, trust text: String? = nil) throws -> EveryhopProcess {
        try EveryhopProcess(
            folder,
            port: plain,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "mysql"
                    server = "127.0.0.1:\(server)"
                    server_name = "app.internal"
                    trust = \(try text ?? "{ ca = \"authority.pem\", pins = [\"\(trust.pin())\"] }")
                    [[database.binding]]
                    port = \(plain)
                    [[database.binding]]
                    port = \(encrypted)
                    certificate = "portal"
                    [[database.binding]]
                    unix = "\(folder.path)/socket"
                    mode = "0600"
                    """
            )
        )
    }

    private func mariadb(_ arguments: String..., query: String = "SHOW STATUS LIKE 'Ssl_cipher'") throws -> String {
        try Shell.run(
            ["mariadb", "--no-defaults", "-N", "-ps3cret-Password"] + arguments + ["-e", query],
            merged: true
        ).text
    }

    private static let libraries = """
        import pymysql, MySQLdb
        query = "SHOW STATUS LIKE 'Ssl_cipher'"
        def show(name, connect, **more):
            try:
                c = connect(user=USER, password="s3cret-Password", **more)
                k = c.cursor(); k.execute(query); print(name, k.fetchone()[-1])
            except Exception as e: print(name, e)
        """

    @Test func `native and ed25519 accounts work in plain, over a socket and over TLS, and the server says TLS`() throws
    {
        let server = try MariaDBServer(trust)
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        let cipher = "Ssl_cipher\tTLS_"
        for user in ["bob", "ed"] {
            let tcp = ["-h127.0.0.1", "-u\(user)"]
            #expect(try mariadb(tcp[0], tcp[1], "-P\(plain)", "--skip-ssl").hasPrefix(cipher))
            #expect(try mariadb("-S\(folder.path)/socket", "-u\(user)").hasPrefix(cipher))
            let authority = "--ssl-ca=\(folder.path)/authority.pem"
            #expect(try mariadb(tcp[0], tcp[1], "-P\(encrypted)", "--ssl", authority).hasPrefix(cipher))
        }
        let text = try python(
            """
            USER = "bob"
            \(Self.libraries)
            show("PyMySQL", pymysql.connect, host="127.0.0.1", port=\(plain))
            show("PyMySQL TLS", pymysql.connect, host="127.0.0.1", port=\(encrypted), ssl={"check_hostname": False})
            show("mysqlclient", MySQLdb.connect, host="127.0.0.1", port=\(plain))
            """
        ).split(separator: "\n")
        #expect(text.count == 3)
        for line in text { #expect(line.contains(" TLS_"), "\(line)") }
        #expect(try mariadb("-h127.0.0.1", "-ubob", "-P\(plain)", "--skip-ssl", "--password=x").contains("ERROR 1045"))
        try everyhop.waitForAccess("\"user\":\"ed\"", "\"established\":true", "\"server_pin_matched\":true")
        for sent in tap.connections {
            // SSLRequest: 32 bytes, number 1, with CLIENT_SSL; then records.
            #expect(Array(sent.prefix(4)) == [32, 0, 0, 1])
            #expect(sent[5] & 0x08 != 0)
            #expect(Tap.records(in: sent, after: 36) != nil)
        }
    }

    @Test func `a user is changed within a session, from one kind of account to the other`() throws {
        let server = try MariaDBServer(trust)
        let everyhop = try start(server.port)
        let text = try python(
            """
            import MySQLdb
            for first, second in (("bob", "ed"), ("ed", "bob")):
                c = MySQLdb.connect(host="127.0.0.1", port=\(plain), user=first, password="s3cret-Password")
                c.change_user(second, "s3cret-Password", "clinic")
                k = c.cursor(); k.execute("SELECT CURRENT_USER()"); print(k.fetchone()[0])
            """
        )
        #expect(text == "ed@127.0.0.1\nbob@127.0.0.1\n")
        withExtendedLifetime(everyhop) {}
    }

    @Test func `large packets, many rows and compression pass`() throws {
        let server = try MariaDBServer(trust)
        let everyhop = try start(server.port)
        let login = "-h127.0.0.1 -P\(plain) -ubob -ps3cret-Password --skip-ssl --max-allowed-packet=64M"
        for more in ["", "--compress"] {
            let text = try Shell.run(
                [
                    "bash", "-c",
                    """
                    q="mariadb --no-defaults -N \(login) \(more)"
                    $q -e "SELECT REPEAT('z', 15000000)" | wc -c
                    $q --quick -e "SELECT seq, REPEAT('z', 1000) FROM seq_1_to_50000" clinic | sha256sum
                    (printf "SELECT LENGTH('"; head -c 15000000 /dev/zero | tr '\\0' x; echo "');") | $q
                    """,
                ],
                merged: true
            ).text.split(separator: "\n")
            #expect(text.count == 3)
            #expect(text.first == "15000001")
            #expect(text.last == "15000000")
        }
        withExtendedLifetime(everyhop) {}
    }

    @Test(arguments: ["caching_sha2_password", "switched caching_sha2_password"])
    func `an account of MySQL 8 logs in from plain loopback: the password is said inside TLS only`(_ plugin: String)
        throws
    {
        let server =
            plugin.hasPrefix("switched")
            ? try PeerServer(trust, script: "mysql_server.py", "--switch")
            : try PeerServer(trust, script: "mysql_server.py")
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        let text = try python(
            """
            USER = "bob"
            \(Self.libraries)
            show("PyMySQL", pymysql.connect, host="127.0.0.1", port=\(plain))
            show("PyMySQL socket", pymysql.connect, unix_socket="\(folder.path)/socket")
            show("PyMySQL TLS", pymysql.connect, host="127.0.0.1", port=\(encrypted), ssl={"check_hostname": False})
            show("mysqlclient", MySQLdb.connect, host="127.0.0.1", port=\(plain))
            """
        )
        #expect(text == "PyMySQL TLSv1.3\nPyMySQL socket TLSv1.3\nPyMySQL TLS TLSv1.3\nmysqlclient TLSv1.3\n")
        #expect(server.log.components(separatedBy: "s3cret-Password").count == 5)
        for sent in tap.connections { #expect(Tap.records(in: sent, after: 36) != nil) }
        #expect(!everyhop.log.contains("s3cret"))
    }

    @Test func `sha256_password from plain loopback is refused with what to change`() throws {
        let server = try PeerServer(trust, script: "mysql_server.py", "--plugin", "sha256_password")
        let everyhop = try start(server.port)
        let text = try python(
            """
            USER = "bob"
            \(Self.libraries)
            show("PyMySQL", pymysql.connect, host="127.0.0.1", port=\(plain))
            """
        )
        #expect(text.contains("everyhop: sha256_password needs a secure connection; use caching_sha2_password"))
        try everyhop.waitForAccess("sha256_password needs a secure connection")
    }

    @Test func `a server without TLS, a wrong pin and one that closes are ERR packets that say so`() throws {
        let bare = try PeerServer(trust, script: "mysql_server.py", "--no-tls")
        let tap = try Tap(to: bare.port)
        do {
            let everyhop = try start(tap.port)
            let answer = try mariadb("-h127.0.0.1", "-P\(plain)", "-ubob", "--skip-ssl")
            #expect(answer.contains("everyhop: the server offers no TLS"))
            try everyhop.waitForAccess("the server offers no TLS")
        }
        #expect(tap.connections == [[]])
    }

    @Test(arguments: ["accept", "greeting", "request", "response"])
    func `a server that closes is told of by an error`(_ moment: String) throws {
        let server = try PeerServer(trust, script: "mysql_server.py", "--die", moment)
        let everyhop = try start(server.port)
        let answer = try mariadb("-h127.0.0.1", "-P\(plain)", "-ubob", "--skip-ssl")
        #expect(answer.contains("everyhop: "), "\(answer)")
        try everyhop.waitForAccess("\"established\":false", "\"error\":")
    }

    @Test func `a wrong pin is refused before the login leaves`() throws {
        let server = try PeerServer(trust, script: "mysql_server.py")
        let tap = try Tap(to: server.port)
        let everyhop = try start(
            tap.port,
            trust: "{ pins = [\"sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"] }"
        )
        let answer = try mariadb("-h127.0.0.1", "-P\(plain)", "-ubob", "--skip-ssl")
        #expect(answer.contains("pin mismatch: the server's key is \(try trust.pin())"))
        try everyhop.waitForLog("database server refused")
        #expect(!server.log.contains("user"))
        #expect(Tap.records(in: try #require(tap.connections.first), after: 36) != nil)
    }
}
