import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("PostgreSQL through everyhop", .serialized) struct PostgresTests {
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

    /// Starts it; a second one in a test needs ports and a folder of its own.
    private func start(_ server: UInt16, trust text: String? = nil, isSecond: Bool = false) throws -> EveryhopProcess {
        let plain = isSecond ? try freePort() : self.plain
        let encrypted = isSecond ? try freePort() : self.encrypted
        let folder = isSecond ? try TemporaryFolder() : self.folder
        try trust.write(to: folder)
        return try EveryhopProcess(
            folder,
            port: plain,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "postgres"
                    server = "127.0.0.1:\(server)"
                    server_name = "app.internal"
                    trust = \(try text ?? "{ ca = \"authority.pem\", pins = [\"\(trust.pin())\"] }")
                    [[database.binding]]
                    port = \(plain)
                    [[database.binding]]
                    port = \(encrypted)
                    certificate = "portal"
                    [[database.binding]]
                    unix = "\(folder.path)/.s.PGSQL.5432"
                    """
            )
        )
    }

    private func psql(
        _ connection: String,
        _ query: String = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ) throws
        -> String
    {
        try Shell.run(
            ["psql", "user=alice password=secret dbname=postgres connect_timeout=10 \(connection)", "-Atc", query],
            merged: true
        ).text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test func `psql, psycopg and asyncpg speak plain, and the server says TLS; nothing else reaches it`() throws {
        let server = try PostgresServer(trust)
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        #expect(try psql("host=127.0.0.1 port=\(plain)") == "t|TLSv1.3")
        #expect(try psql("host=\(folder.path) port=5432") == "t|TLSv1.3")
        let libraries = try python(
            """
            import asyncio, asyncpg, psycopg
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            with psycopg.connect("host=127.0.0.1 port=\(plain) user=alice password=secret dbname=postgres") as c:
                print("psycopg", c.execute(query).fetchone()[0])
            async def run():
                c = await asyncpg.connect(host="127.0.0.1", port=\(plain), user="alice", password="secret",
                                          database="postgres", ssl="prefer")
                print("asyncpg", await c.fetchval(query))
                await c.close()
            asyncio.run(run())
            """
        )
        #expect(libraries == "psycopg True\nasyncpg True\n")
        #expect(try psql("host=127.0.0.1 port=\(plain) password=wrong").contains("password authentication failed"))
        try everyhop.waitForAccess(
            "\"database\":\"ehr\"",
            "\"user\":\"alice\"",
            "\"established\":true",
            "\"server_tls_version\":\"TLSv1.3\"",
            "\"server_pin_matched\":true"
        )
        #expect(!everyhop.log.contains("secret"))
        #expect(!everyhop.access.joined().contains("secret"))
        #expect(tap.connections.count >= 5)
        for sent in tap.connections {
            #expect(Array(sent.prefix(8)) == [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F])
            #expect(Tap.records(in: sent, after: 8) != nil)
        }
    }

    /// The table of docs/database.md: what the application says about channel binding, and what becomes of it.
    @Test func `channel binding ends at everyhop: each combination has its outcome`() throws {
        let server = try PostgresServer(trust)
        let everyhop = try start(server.port)
        for binding in ["disable", "prefer"] {
            #expect(try psql("host=127.0.0.1 port=\(plain) channel_binding=\(binding)") == "t|TLSv1.3")
        }
        #expect(
            try psql("host=127.0.0.1 port=\(plain) channel_binding=require").contains("channel binding")
        )
        let tls =
            "host=localhost hostaddr=127.0.0.1 port=\(encrypted) sslmode=verify-full sslrootcert=\(folder.path)/authority.pem"
        #expect(try psql("\(tls) channel_binding=disable") == "t|TLSv1.3")
        let prefers = try psql("\(tls) channel_binding=prefer")
        #expect(prefers.contains("everyhop: channel binding cannot pass"))
        #expect(prefers.contains("HINT:  Set channel_binding=disable"))
        #expect(try psql("\(tls) channel_binding=require").contains("channel binding is required"))
        #expect(try psql("host=127.0.0.1 port=\(encrypted) sslmode=disable").contains("this binding speaks TLS only"))
        // asyncpg never binds to the channel, and says so: TLS needs no setting there.
        let library = try python(
            """
            import asyncio, asyncpg, ssl
            async def run():
                c = await asyncpg.connect(host="127.0.0.1", port=\(encrypted), user="alice", password="secret",
                                          database="postgres", ssl=context)
                print(await c.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
                await c.close()
            context = ssl.create_default_context(cafile="\(folder.path)/authority.pem")
            context.check_hostname = False
            asyncio.run(run())
            """
        )
        #expect(library == "True\n")
        try everyhop.waitForAccess("\"tls_version\":\"TLSv1.3\"", "\"server_tls_version\":\"TLSv1.3\"")
    }

    @Test func `direct TLS needs ALPN postgresql, and with it works`() throws {
        let server = try PostgresServer(trust)
        let everyhop = try start(server.port)
        let startup = Array("user\0alice\0database\0postgres\0\0".utf8)
        let message: [UInt8] = [0, 0, 0, UInt8(startup.count + 8), 0, 3, 0, 0] + startup
        for (alpn, works) in [(["postgresql"], true), ([], false)] {
            let context = try ClientContext(
                trust: .init(authoritiesPEM: trust.authority.certificatePEM, pins: []),
                name: "localhost",
                policy: .modern,
                alpn: alpn
            )
            let client = try Connection(to: encrypted, context)
            if works { try client.send(message) }
            let answer = try #require(try client.receive())
            // Authentication request, or ErrorResponse.
            #expect(answer.first == (works ? 0x52 : 0x45))
        }
        try everyhop.waitForLog("direct TLS without ALPN postgresql")
    }

    @Test func `a query is cancelled, over TLS too`() throws {
        let server = try PostgresServer(trust)
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        let text = try python(
            """
            import psycopg, threading
            c = psycopg.connect("host=127.0.0.1 port=\(plain) user=alice password=secret dbname=postgres")
            done = threading.Event()
            def cancel():
                w = psycopg.connect("host=127.0.0.1 port=\(plain) user=alice password=secret dbname=postgres", autocommit=True)
                query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
                while w.execute(query).fetchone()[0] == 0: pass
                c.cancel()
            threading.Thread(target=cancel).start()
            try: c.execute("SELECT pg_sleep(60)")
            except psycopg.errors.QueryCanceled as e: print("cancelled", e.sqlstate)
            """
        )
        #expect(text == "cancelled 57014\n")
        withExtendedLifetime(everyhop) {
            // Two sessions, and the cancel request on a connection of its own: SSLRequest, then nothing but records.
            #expect(tap.connections.count == 3)
            for sent in tap.connections { #expect(Tap.records(in: sent, after: 8) != nil) }
        }
    }

    @Test func `a cancel request reaches the server although its sender hangs up at once`() throws {
        let server = try PostgresServer(trust)
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        do {
            let client = try Connection(to: plain, nil)
            try client.send([0, 0, 0, 16, 0x04, 0xD2, 0x16, 0x2E, 0, 0, 0, 1, 0, 0, 0, 2])
        }
        try everyhop.waitForAccess("\"established\":true", "\"bytes_in\":16")
        let sent = try #require(tap.connections.first)
        let records = try #require(Tap.records(in: sent, after: 8))
        // The message, and the end of the stream, behind the handshake's own.
        #expect(records.filter { $0.first == 0x17 }.count >= 3)
        #expect(server.output.contains("process 1") || server.output.contains("PID 1"), "\(server.output)")
    }

    @Test func `a gibibyte of COPY has an equal checksum, in flat memory; a table comes in whole`() throws {
        let server = try PostgresServer(trust)
        let everyhop = try start(server.port)
        let worker = try #require(try everyhop.workers().first)
        let memory = {
            let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") } ?? ""
            return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
        }
        let rows = "COPY (SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, 1044000) i) TO STDOUT"
        _ = try psql("host=127.0.0.1 port=\(plain)")
        let before = try memory()
        func sum(_ connection: String) throws -> String {
            let login = "user=alice password=secret dbname=postgres \(connection)"
            return try Shell.run(
                ["bash", "-c", "psql '\(login)' -Atc \"\(rows)\" | tee >(wc -c >&2) | sha256sum"],
                merged: true
            ).text.split(separator: "\n").sorted().joined(separator: "\n")
        }
        let through = try sum("host=127.0.0.1 port=\(plain)")
        #expect(through == (try sum("host=127.0.0.1 port=\(server.port) sslmode=require")))
        let size = try #require(through.split(separator: "\n").compactMap { Int($0) }.first)
        #expect(size > 1 << 30)
        #expect(try memory() - before < 8000)
        let up = try Shell.run(
            [
                "bash", "-c",
                """
                psql "$0" -qc 'CREATE UNLOGGED TABLE t (i int, x text)'
                seq 1 100000 | awk '{ printf "%d\\t%01000d\\n", $1, $1 }' | psql "$0" -qc 'COPY t FROM STDIN'
                psql "$0" -Atc 'SELECT count(*), sum(i), min(length(x)), sum(x::numeric) FROM t'
                """, "host=127.0.0.1 port=\(plain) user=alice password=secret dbname=postgres",
            ],
            merged: true
        ).text
        #expect(up == "100000|5000050000|1000|5000050000\n")
    }

    @Test func `a wrong pin, a server without TLS and one that is not there are ErrorResponses that say so`() throws {
        let server = try PostgresServer(trust, hasTLS: false)
        let tap = try Tap(to: server.port)
        do {
            let everyhop = try start(tap.port)
            let answer = try psql("host=127.0.0.1 port=\(plain)")
            #expect(answer.contains("FATAL:  everyhop: the server refuses TLS"))
            #expect(answer.contains("HINT:  Set ssl = on"))
            try everyhop.waitForAccess("the server refuses TLS", "\"established\":false")
        }
        #expect(tap.connections == [[0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]])
        let lonely = try start(try freePort(), isSecond: true)
        let refused = try psql("host=127.0.0.1 port=\(lonely.port)")
        #expect(refused.contains("everyhop: the server cannot be reached: connect: Connection refused"))
        try lonely.waitForAccess("Connection refused")
        let real = try PostgresServer(trust)
        let spied = try Tap(to: real.port)
        let pin = "sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
        let everyhop = try start(spied.port, trust: "{ pins = [\"\(pin)\"] }", isSecond: true)
        let answer = try psql("host=127.0.0.1 port=\(everyhop.port)")
        #expect(answer.contains("pin mismatch: the server's key is \(try trust.pin())"))
        try everyhop.waitForLog("database server refused")
        let sent = try #require(spied.connections.first)
        let records = try #require(Tap.records(in: sent, after: 8))
        // The hello, and what says that it is over; with TLS 1.3, a change of cipher for old boxes on the way.
        #expect(records.first?.first == 0x16)
        #expect(sent.count < 1000)
    }
}
