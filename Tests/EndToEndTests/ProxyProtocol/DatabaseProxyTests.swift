import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("PROXY headers and databases", .serialized) struct DatabaseProxyTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
    }

    private func start(_ kind: String, _ server: UInt16, _ port: UInt16, sends version: String) throws
        -> EveryhopProcess
    {
        try EveryhopProcess(
            folder,
            port: port,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "\(kind)"
                    server = "127.0.0.1:\(server)"
                    server_name = "app.internal"
                    send_proxy = "\(version)"
                    trust = { pins = ["\(try trust.pin())"] }
                    credentials = { user = "alice" }
                    [[database.binding]]
                    port = \(port)
                    certificate = "portal"
                    accept_proxy = ["127.0.0.1"]
                    """
            )
        )
    }

    @Test(arguments: ["v1", "v2"])
    func `MariaDB knows the client that HAProxy knows, through everyhop`(_ version: String) throws {
        let server = try MariaDBServer(trust, settings: "[mysqld]\nproxy-protocol-networks=127.0.0.1\n")
        try server.run(
            "CREATE USER bob@'192.0.2.7' IDENTIFIED BY 's3cret-Password'; GRANT ALL ON *.* TO bob@'192.0.2.7';"
        )
        let port = try freePort()
        let everyhop = try start("mysql", server.port, port, sends: version)
        let balancer = try HAProxy(trust, to: port, client: "192.0.2.7", "send-proxy")
        let query = { (port: UInt16) in
            try Shell.run(
                [
                    "mariadb", "--no-defaults", "-N", "-h127.0.0.1", "-P\(port)", "-ubob", "-ps3cret-Password", "--ssl",
                    "--ssl-ca=\(folder.path)/authority.pem", "-e", "SELECT USER()",
                ],
                merged: true
            ).text
        }
        #expect(try query(balancer.port) == "bob@192.0.2.7\n")
        try everyhop.waitForAccess("\"client\":\"192.0.2.7\"", "\"passed_on_by\":\"127.0.0.1\"", "\"established\":true")
        // Without the header that is due, nothing comes of it.
        #expect(try query(port).contains("ERROR"))
    }

    @Test(arguments: ["v1", "v2"])
    func `PostgreSQL behind what expects a header is reached, by sessions and by commands`(_ version: String) throws {
        let server = try PostgresServer(trust)
        let front = try HAProxy(
            trust,
            """
            listen front
              mode tcp
              bind 127.0.0.1:PORT accept-proxy
              server s 127.0.0.1:\(server.port)
            """
        )
        let port = try freePort()
        let everyhop = try start("postgres", front.port, port, sends: version)
        let balancer = try HAProxy(trust, to: port, client: "2001:db8::7", "send-proxy-v2")
        let answer = try Shell.run(
            [
                "env", "PGPASSWORD=secret", "psql", "-At", "-c",
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                "host=localhost hostaddr=127.0.0.1 port=\(balancer.port) user=alice dbname=postgres sslmode=verify-full channel_binding=disable "
                    + "sslrootcert=\(folder.path)/authority.pem",
            ],
            merged: true
        ).text
        #expect(answer == "t\n")
        try everyhop.waitForAccess("\"client\":\"2001:db8::7\"", "\"established\":true")
        let status = try Shell.run(
            [
                "env", "EVERYHOP_DATABASE_PASSWORD=secret", EveryhopProcess.program, "database", "status", "ehr",
                "--config",
                "\(folder.path)/everyhop.toml",
            ],
            merged: true
        ).text
        // The login has come to the server, which has no such database.
        #expect(status.contains("database \"ehr\" does not exist"), "\(status)")
        let audit = try Shell.run(
            [EveryhopProcess.program, "audit", "run", "--config", "\(folder.path)/everyhop.toml", "--format", "text"],
            merged: true
        ).text
        #expect(
            audit.contains("the application may speak TLS to *:\(port)")
                || audit.contains("may speak TLS to 127.0.0.1:\(port)"),
            "\(audit)"
        )
        #expect(!audit.contains("could not be"), "\(audit)")
    }
}
