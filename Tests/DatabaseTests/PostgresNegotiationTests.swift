import Database
import Testing

@Suite("PostgreSQL's negotiation") struct PostgresNegotiationTests {
    static let sslRequest = [UInt8](hex: "00000008 04d2162f")
    static let gssRequest = [UInt8](hex: "00000008 04d21630")
    static let cancel = [UInt8](hex: "00000010 04d2162e 00000001 00000002")
    static let startup: [UInt8] = {
        let parameters = Array("user\0alice\0database\0ehr\0\0".utf8)
        return [0, 0, 0, UInt8(parameters.count + 8), 0, 3, 0, 0] + parameters
    }()
    static let ok = [UInt8](hex: "52 00000008 00000000")
    static let sasl = sasl("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")

    static func sasl(_ mechanisms: String) -> [UInt8] {
        [0x52, 0, 0, 0, UInt8(8 + mechanisms.utf8.count), 0, 0, 0, 10] + mechanisms.utf8
    }

    private func begin(certificate: Bool = false, alpn: String? = nil, local: Bool = true) -> Rehearsal {
        var settings = NegotiationSettings()
        settings.hasCertificate = certificate
        settings.isLocal = local
        return Rehearsal(.postgres(PostgresNegotiation(settings)), alpn: alpn)
    }

    @Test func `the startup message waits until the server is secured`() {
        var play = begin()
        play.client(Self.startup)
        #expect(play.done == ["dial", "send"])
        #expect(play.sentInPlain == Self.sslRequest)
        play.server([0x53])
        #expect(play.done == ["dial", "send", "secure server direct", "send"])
        #expect(play.sentInPlain == Self.sslRequest)
        #expect(play.sentSecured == Self.startup)
        #expect(play.negotiation.user == "alice")
        play.server(Self.ok)
        #expect(play.told == Self.ok)
        #expect(play.isRelaying)
    }

    @Test func `whatever the pieces, the outcome is the same`() {
        let client = Self.gssRequest + Self.sslRequest + Self.startup
        for split in 0...client.count {
            var play = begin()
            play.client(Array(client[..<split]))
            play.client(Array(client[split...]))
            for byte in [0x53] + Self.sasl { play.server([byte]) }
            #expect(play.sentSecured == Self.startup)
            #expect(play.told == [0x4E, 0x4E] + Self.sasl("SCRAM-SHA-256\0\0"))
            #expect(play.isRelaying)
        }
    }

    @Test func `a startup message that is cut off goes nowhere`() {
        for count in 0..<Self.startup.count {
            var play = begin()
            play.client(Array(Self.startup[..<count]))
            #expect(play.done.isEmpty)
        }
    }

    @Test func `a client's SSLRequest is answered by what the binding has`() {
        var plain = begin()
        plain.client(Self.sslRequest)
        #expect(plain.told == [0x4E])
        var encrypted = begin(certificate: true)
        encrypted.client(Self.sslRequest)
        #expect(encrypted.told == [0x53])
        #expect(encrypted.done == ["tell", "secure client direct"])
        encrypted.client(Self.startup)
        #expect(encrypted.done.last == "send")
    }

    @Test func `bytes stuffed before a handshake are refused, from either side`() {
        var client = begin(certificate: true)
        client.client(Self.sslRequest + [1])
        #expect(client.refusal == [])
        #expect(!client.done.contains("dial"))
        var server = begin()
        server.client(Self.startup)
        server.server([0x53, 0x52])
        #expect(server.done.last == "refuse")
        #expect(server.sentSecured.isEmpty)
        #expect(server.negotiation.failure?.reason.contains("before the TLS handshake") == true)
    }

    @Test(arguments: [[UInt8(0x4E)], [0x45], [0x00], [0x48, 0x54]])
    func `a server without TLS gets nothing more`(_ answer: [UInt8]) {
        var play = begin()
        play.client(Self.startup)
        play.server(answer)
        #expect(play.sentInPlain == Self.sslRequest)
        #expect(play.sentSecured.isEmpty)
        #expect(play.refusal?.first == 0x45)
    }

    @Test func `asking twice, or again inside TLS, is refused`() {
        for request in [Self.sslRequest, Self.gssRequest] {
            var twice = begin()
            twice.client(request)
            twice.client(request)
            #expect(twice.refusal == [])
        }
        var inside = begin(certificate: true)
        inside.client(Self.sslRequest)
        inside.client(Self.sslRequest)
        #expect(inside.refusal == [])
    }

    @Test func `direct TLS is for bindings with a certificate, and for ALPN postgresql`() {
        var none = begin()
        none.client([0x16])
        #expect(none.refusal == [])
        var right = begin(certificate: true, alpn: "postgresql")
        right.client([0x16])
        #expect(right.done == ["secure client direct"])
        var wrong = begin(certificate: true, alpn: "http/1.1")
        wrong.client([0x16])
        #expect(wrong.refusal?.first == 0x45)
    }

    @Test func `a cancel request goes over TLS too`() {
        var play = begin()
        play.client(Self.cancel)
        play.server([0x53])
        #expect(play.sentInPlain == Self.sslRequest)
        #expect(play.sentSecured == Self.cancel)
        #expect(play.isRelaying)
    }

    @Test func `a cancel request in plain passes a TLS binding on this host only`() {
        var local = begin(certificate: true)
        local.client(Self.cancel)
        #expect(local.done.first == "dial")
        var routable = begin(certificate: true, local: false)
        routable.client(Self.cancel)
        #expect(routable.refusal == [])
    }

    @Test func `a binding with a certificate takes no startup message in plain`() {
        var play = begin(certificate: true)
        play.client(Self.startup)
        #expect(play.done == ["refuse"])
        #expect(play.refusal?.first == 0x45)
    }

    @Test func `a client in TLS that would bind to the channel is told, one that does not goes on`() {
        for (flag, passes) in [("n,,", true), ("y,,", false), ("p=tls-server-end-point,,", false)] {
            var play = begin(certificate: true)
            play.client(Self.sslRequest)
            play.client(Self.startup)
            play.server([0x53])
            play.server(Self.sasl)
            let data = Array((flag + "n=,r=abc").utf8)
            let body = Array("SCRAM-SHA-256\0".utf8) + [0, 0, 0, UInt8(data.count)] + data
            play.client([0x70, 0, 0, 0, UInt8(body.count + 4)] + body)
            #expect(play.isRelaying == passes)
            #expect((play.refusal == nil) == passes)
        }
    }

    @Test(arguments: ["SCRAM-SHA-256-PLUS\0\0", "\0", "SCRAM-SHA-256", "SCRAM-SHA-256\0\0x"])
    func `mechanisms that leave nothing, or break their form, are refused`(_ mechanisms: String) {
        var play = begin()
        play.client(Self.startup)
        play.server([0x53])
        play.server(Self.sasl(mechanisms))
        #expect(play.refusal?.first == 0x45)
    }

    @Test(arguments: ["52000000", "5200000003", "52ffffffff00", "00000000000000", "5a0000000549", "52 00000004"])
    func `a server's malformed message is refused or waited for, never passed on`(_ hex: String) {
        var play = begin()
        play.client(Self.startup)
        play.server([0x53])
        play.server([UInt8](hex: hex))
        #expect(play.told.isEmpty)
        #expect(!play.isRelaying)
    }

    @Test(arguments: [
        "0000000700030000", "7fffffff00030000", "0000271100030000", "0000000900040000", "474554202f204854",
    ])
    func `what is no startup message is refused without a server`(_ hex: String) {
        var play = begin()
        play.client([UInt8](hex: hex))
        #expect(play.refusal != nil)
        #expect(!play.done.contains("dial"))
    }

    @Test func `a failure is an ErrorResponse with its reason, a cancel request has none`() {
        var play = begin()
        play.client(Self.startup)
        play.fail("pin mismatch: the server's key is sha256/x")
        let text = String(decoding: play.refusal ?? [], as: UTF8.self)
        #expect(text.contains("SFATAL\0VFATAL\0C08001\0Meveryhop: pin mismatch: the server's key is sha256/x\0"))
        var cancel = begin()
        cancel.client(Self.cancel)
        cancel.fail("x")
        #expect(cancel.refusal == [])
    }
}
