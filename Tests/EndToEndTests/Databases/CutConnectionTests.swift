import Foundation
import Platform
import Support
import TLS
import Testing

/// Connections that end after any byte of the server, and bytes that come one at a time.
@Suite("Database connections that are cut or come in pieces", .serialized) struct CutConnectionTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(_ kind: String, _ server: UInt16, encrypted: UInt16? = nil) throws -> EveryhopProcess {
        let port = try freePort()
        let other = encrypted.map { "[[database.binding]]\nport = \($0)\ncertificate = \"portal\"" } ?? ""
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "\(kind)"
                    server = "127.0.0.1:\(server)"
                    trust = { pins = ["\(try trust.pin())"] }
                    [[database.binding]]
                    port = \(port)
                    \(other)
                    """
            )
        )
    }

    private func server(_ kind: String) throws -> ServerProgram {
        kind == "postgres" ? try PostgresServer(trust) : try PeerServer(trust, script: "\(kind)_server.py")
    }

    /// What a client of the protocol is told in all, from its first message on.
    private func converse(_ kind: String, _ port: UInt16) throws -> String {
        let client = try Connection(to: port, nil)
        switch kind {
        case "postgres": try client.send([0, 0, 0, 20, 0, 3, 0, 0] + Array("user\0alice\0\0".utf8))
        case "tds":
            try client.send(TDSBytes.prelogin(encryption: 2))
            guard try client.receive()?.first == 4 else { return "no PRELOGIN" }
            try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        default:
            guard let greeting = try client.receive() else { return "no greeting" }
            if greeting.dropFirst(4).first == 0xFF { return String(decoding: greeting, as: UTF8.self) }
            let head: [UInt8] = [0, 0xA2, 8, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
            let payload = head + Array("bob\0".utf8) + [20] + [UInt8](repeating: 7, count: 20)
            try client.send([UInt8(payload.count), 0, 0, 1] + payload)
        }
        // Nothing more is asked for: an answer that decides is enough.
        let first = try client.receive() ?? []
        return String(decoding: first.filter { $0 != 0 }, as: UTF8.self)
    }

    @Test(arguments: ["postgres", "mysql", "tds"])
    func `a server that is cut off after any byte is told of, and nothing follows in plain`(_ kind: String) throws {
        let server = try server(kind)
        let tap = try Tap(to: server.port)
        let everyhop = try start(kind, tap.port)
        let whole = try converse(kind, everyhop.port)
        #expect(!whole.contains("everyhop"), "\(whole)")
        var told = 0
        // Every byte of what is said before TLS, then through the handshake.
        for count in Array(0..<100) + Array(stride(from: 100, to: 2400, by: 97)) {
            tap.budget.with { $0 = count }
            let answer = try converse(kind, everyhop.port)
            if answer == whole { continue }
            #expect(answer.contains("everyhop: "), "after \(count) bytes: \(answer)")
            told += 1
        }
        #expect(told > 105)
        tap.budget.with { $0 = nil }
        #expect(try converse(kind, everyhop.port) == whole)
        #expect(try everyhop.workers().count == 1)
        for sent in tap.connections {
            switch kind {
            case "postgres":
                #expect(Array(sent.prefix(8)) == [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F])
                #expect(Tap.records(in: sent, after: 8) != nil)
            case "mysql": #expect(sent.isEmpty || (sent[3] == 1 && Tap.records(in: sent, after: 36) != nil))
            default: #expect(SQLServerTests.isEncrypted(sent))
            }
        }
    }

    @Test(arguments: ["postgres", "mysql", "tds"])
    func `bytes that come one at a time from the server make no difference`(_ kind: String) throws {
        let server = try server(kind)
        let pieces = try Tap(to: server.port, inPieces: true)
        let everyhop = try start(kind, pieces.port)
        let answer = try converse(kind, everyhop.port)
        // What the server asks for: SASL, the password, or nothing more.
        #expect(!answer.isEmpty && !answer.contains("everyhop"), "\(answer)")
        try everyhop.waitForAccess("\"server_pin_matched\":true")
    }

    @Test func `a handshake inside PRELOGIN may come in single bytes from either side`() throws {
        let server = try server("tds")
        let upstream = try Tap(to: server.port, inPieces: true)
        let encrypted = try freePort()
        let everyhop = try start("tds", upstream.port, encrypted: encrypted)
        let downstream = try Tap(to: encrypted, inPieces: true)
        let text = try python(
            """
            import pytds
            c = pytds.connect(dsn="127.0.0.1", port=\(downstream.port), user="sa", password="s3cret-Password", timeout=20,
                              cafile="\(folder.path)/authority.pem", validate_host=False)
            k = c.cursor(); k.execute("SELECT encrypt_option"); print(k.fetchone()[0])
            """
        )
        #expect(text == "TRUE\n")
        try everyhop.waitForAccess("\"tls_version\":\"TLSv1.2\"", "\"server_tls_version\":\"TLSv1.2\"")
    }
}
