import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("PROXY headers from load balancers", .serialized) struct AcceptProxyTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let nginx: Nginx
    let everyhop: EveryhopProcess
    let redirect: UInt16

    /// 127.0.0.1 is the load balancer; 127.0.0.9 is none.
    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        nginx = try Nginx(trust)
        let port = try freePort()
        redirect = try freePort()
        everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try Routed.configuration(
                trust,
                [("app", nginx.port)],
                port: port,
                admin: try freePort(),
                site: """
                    upstream = "app"
                    accept_proxy = ["127.0.0.1"]
                    redirect = ["127.0.0.1:\(redirect)"]
                    """,
                routes: """
                    [[site.route]]
                    path = "/denied"
                    deny = ["192.0.2.0/24"]
                    respond = { body = "not denied" }
                    [[site.route]]
                    path = "/scarce"
                    rate = { requests = 1, per = "minute", burst = 1 }
                    respond = { body = "taken" }
                    """,
                server: "timeouts = { handshake = \"4s\" }"
            )
        )
    }

    private func ask(_ arguments: String...) throws -> String {
        try Balancer.ask(everyhop.port, folder, arguments + ["--path", "/headers"])
    }

    @Test(arguments: [
        "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ])
    func `HAProxy's client is the client: for servers, the log, lists and rates`(_ options: String) throws {
        let balancer = try HAProxy(trust, to: everyhop.port, client: "192.0.2.7", options)
        let curl = ["curl", "-sS", "-m", "20", "--cacert", "\(folder.path)/authority.pem"]
        let place = "https://localhost:\(balancer.port)"
        for version in ["--http1.1", "--http2"] {
            let answer = try Shell.run(curl + [version, "-H", "X-Forwarded-For: 6.6.6.6", "\(place)/headers"]).text
            #expect(answer.hasPrefix("for=192.0.2.7 proto=https"), "\(answer)")
        }
        try everyhop.waitForAccess("\"client\":\"192.0.2.7\"", "\"passed_on_by\":\"127.0.0.1\"", "/headers")
        let status = curl + ["-o", "/dev/null", "-w", "%{http_code}"]
        #expect(try Shell.run(status + ["\(place)/denied"]).text == "403")
        #expect(try Shell.run(status + ["\(place)/scarce"]).text == "200")
        #expect(try Shell.run(status + ["\(place)/scarce"]).text == "429")
        // Another client behind the same balancer has its own share.
        let other = try HAProxy(trust, to: everyhop.port, client: "192.0.2.8", options)
        #expect(try Shell.run(status + ["https://localhost:\(other.port)/scarce"]).text == "200")
    }

    @Test func `a header comes in any pieces, alone or with the ClientHello`() throws {
        let v2 =
            "0d0a0d0a000d0a515549540a2121002420010db8000000000000000000000007" + String(repeating: "0", count: 31)
            + "1126701bb"
        for (arguments, client) in [(["--header", Balancer.line], "192.0.2.7"), (["--hex", v2], "2001:db8::7")] {
            for more in [[], ["--pieces"]] {
                let answer = try Balancer.ask(everyhop.port, folder, arguments + more + ["--path", "/headers"])
                #expect(answer.contains("for=\(client) proto=https"), "\(answer) \(everyhop.log)")
            }
        }
        try everyhop.waitForAccess("\"client\":\"2001:db8::7\"", "\"client_port\":4711")
    }

    @Test func `a balancer's own connections keep its address`() throws {
        let local = "0d0a0d0a000d0a515549540a20000000"
        for arguments in [["--hex", local], ["--header", "PROXY UNKNOWN\r\n"]] {
            let answer = try Balancer.ask(everyhop.port, folder, arguments + ["--path", "/headers"])
            #expect(answer.contains("for=127.0.0.1 proto=https"), "\(answer)")
        }
        // A look whether somebody listens is no mistake.
        #expect(try Balancer.ask(everyhop.port, folder, ["--end"]).isEmpty)
        #expect(try ask("--header", Balancer.line).contains("for=192.0.2.7"))
        #expect(!everyhop.log.contains("PROXY header:"))
    }

    @Test func `a balancer's connection without a good header is ended, and the log says why`() throws {
        for (arguments, reason) in [
            ([], "there is none"),
            (["--header", "PROXY TCP4 1.2.3.4 1.2.3.4 1 x\r\n"], "it breaks the protocol's rules"),
            (["--header", "PROXY UNKNOWN " + String(repeating: "x", count: 100)], "it is too long"),
            (["--header", "PROXY TCP4 1.2.3.4 1", "--end"], "the connection ended within it"),
            (
                ["--hex", "0d0a0d0a000d0a515549540a21110013010101010101010101010101" + "03000400000000"],
                "its checksum is wrong"
            ),
        ] {
            #expect(try Balancer.ask(everyhop.port, folder, arguments).isEmpty)
            try everyhop.waitForLog("PROXY header: \(reason)")
        }
        let silent = try Connection(to: everyhop.port, nil)
        #expect(silent.receiveAll().isEmpty)
        try everyhop.waitForLog("PROXY header: it did not come in time")
        #expect(try ask("--header", Balancer.line).contains("for=192.0.2.7"))
    }

    @Test func `nobody else's header is read`() throws {
        #expect(try ask("--source", "127.0.0.9").contains("for=127.0.0.9 proto=https"))
        #expect(try ask("--source", "127.0.0.9", "--header", Balancer.line).isEmpty)
        try everyhop.waitForLog("TLS handshake:")
        #expect(!everyhop.access.contains { $0.contains("192.0.2.7") })
        #expect(!everyhop.log.contains("PROXY header:"))
    }

    @Test func `redirects are passed on, too`() throws {
        let answer = try Balancer.ask(redirect, folder, ["--plain", "--header", Balancer.line])
        #expect(answer.hasPrefix("HTTP/1.1 308") || answer.hasPrefix("HTTP/1.1 301"), "\(answer)")
        try everyhop.waitForAccess("\"client\":\"192.0.2.7\"")
        #expect(try Balancer.ask(redirect, folder, ["--plain"]).isEmpty)
        #expect(try Balancer.ask(redirect, folder, ["--plain", "--source", "127.0.0.9"]).hasPrefix("HTTP/1.1 30"))
    }

    @Test func `an audit begins as the binding expects it from this host`() throws {
        let report = try Shell.run(
            [EveryhopProcess.program, "audit", "run", "--config", "\(folder.path)/everyhop.toml", "--format", "text"],
            merged: true
        ).text
        #expect(report.contains("127.0.0.1:\(everyhop.port) answers"), "\(report)")
        #expect(report.contains("TLS 1.3"), "\(report)")
        #expect(!everyhop.log.contains("PROXY header: it did not come in time"), "\(everyhop.log)")
    }

    @Test func `a reload waits for no header`() throws {
        let silent = try Connection(to: everyhop.port, nil)
        try silent.send("PROXY TCP4 ")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        #expect(try ask("--header", Balancer.line).contains("for=192.0.2.7"))
        everyhop.signal(SIGTERM)
        #expect(try everyhop.waitForEnd() == 0)
    }
}
