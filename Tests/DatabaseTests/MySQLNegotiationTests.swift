import Database
import Testing

@Suite("MySQL's negotiation") struct MySQLNegotiationTests {
    static let salt = [UInt8](repeating: 0x41, count: 20)
    /// PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, SSL.
    static let capabilities = 0x0008_8A00

    static func packet(_ sequence: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(payload.count & 255), UInt8(payload.count >> 8), 0, sequence] + payload
    }

    static func number(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(value >> ($0 * 8) & 255) } }

    static func greeting(_ capabilities: Int = capabilities, plugin: String = "caching_sha2_password") -> [UInt8] {
        let head = [10] + Array("8.0.36\0".utf8) + [7, 0, 0, 0] + salt.prefix(8) + [0]
        let middle = number(capabilities & 0xFFFF, 2) + [45, 2, 0] + number(capabilities >> 16, 2) + [21]
        return packet(0, head + middle + [UInt8](repeating: 0, count: 10) + salt.suffix(12) + [0] + plugin.utf8 + [0])
    }

    static func response(_ sequence: UInt8 = 1, ssl: Bool = false, auth: [UInt8] = [1, 2, 3]) -> [UInt8] {
        let flags = capabilities & ~0x800 | (ssl ? 0x800 : 0)
        let head = number(flags, 4) + [0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
        return packet(sequence, head + "bob\0".utf8 + [UInt8(auth.count)] + auth + "caching_sha2_password\0".utf8)
    }

    static func sslRequest() -> [UInt8] {
        packet(1, number(capabilities, 4) + [0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23))
    }

    static let ok = packet(3, [0, 0, 0, 2, 0, 0, 0])

    private func begin(certificate: Bool = false, key: [UInt8]? = nil, unix: Bool = false) -> Rehearsal {
        var settings = NegotiationSettings()
        settings.hasCertificate = certificate
        settings.passwordKeyPEM = key
        settings.isUnixSocket = unix
        return Rehearsal(.mysql(MySQLNegotiation(settings)))
    }

    @Test func `the greeting loses TLS, the response gains it, and numbers stay right on both sides`() {
        var play = begin()
        #expect(play.done == ["dial"])
        play.server(Self.greeting())
        #expect(play.told == Self.greeting(Self.capabilities & ~0x800))
        play.client(Self.response())
        #expect(play.sentInPlain == Self.sslRequest())
        #expect(play.sentSecured == Self.response(2, ssl: true))
        #expect(play.negotiation.user == "bob")
        let before = play.told.count
        play.server(Self.packet(3, [1, 3]))
        play.server(Self.packet(4, [0, 0, 0, 2, 0, 0, 0]))
        #expect(Array(play.told[before...]) == Self.packet(2, [1, 3]) + Self.packet(3, [0, 0, 0, 2, 0, 0, 0]))
        #expect(play.isRelaying)
    }

    @Test func `whatever the pieces, the outcome is the same`() {
        for split in 0...Self.greeting().count {
            var play = begin()
            play.server(Array(Self.greeting()[..<split]))
            play.server(Array(Self.greeting()[split...]))
            for byte in Self.response() { play.client([byte]) }
            for byte in Self.ok { play.server([byte]) }
            #expect(play.sentInPlain == Self.sslRequest())
            #expect(play.isRelaying)
        }
    }

    @Test func `a client in TLS keeps its numbers`() {
        var play = begin(certificate: true)
        play.server(Self.greeting())
        #expect(play.told == Self.greeting())
        play.client(Self.sslRequest())
        #expect(play.done.last == "secure client direct")
        play.client(Self.response(2, ssl: true))
        #expect(play.sentSecured == Self.response(2, ssl: true))
        let before = play.told.count
        play.server(Self.ok)
        #expect(Array(play.told[before...]) == Self.ok)
    }

    @Test func `not a byte of the TLS handshake is read with SSLRequest`() {
        var play = begin(certificate: true)
        play.server(Self.greeting())
        let request = Self.sslRequest()
        for count in 0..<request.count {
            let waiting = Array(request[..<count])
            let limit = play.negotiation.clientLimit(waiting.span) ?? .max
            #expect(limit == (count < 4 ? 4 - count : 36 - count))
        }
        var plain = begin()
        plain.server(Self.greeting())
        let nothing: [UInt8] = []
        let none = plain.negotiation.clientLimit(nothing.span)
        #expect(none == nil)
    }

    @Test func `a binding with a certificate takes no login in plain, one without takes no TLS`() {
        var plain = begin(certificate: true)
        plain.server(Self.greeting())
        plain.client(Self.response())
        #expect(plain.sentInPlain.isEmpty && plain.sentSecured.isEmpty)
        #expect(plain.refusal?[4] == 0xFF)
        var tls = begin()
        tls.server(Self.greeting())
        tls.client(Self.sslRequest())
        #expect(tls.refusal?[4] == 0xFF)
        #expect(tls.refusal?[3] == 2)
    }

    @Test(arguments: [0x0008_8200, 0x0000_0800, 0])
    func `a server without TLS, or of before 4.1, gets nothing`(_ capabilities: Int) {
        var play = begin()
        play.server(Self.greeting(capabilities))
        #expect(play.sentInPlain.isEmpty)
        // The first packet of all, without SQLSTATE.
        #expect(play.refusal?.dropFirst(3).prefix(4).elementsEqual([0, 0xFF, 0x13, 0x04]) == true)
    }

    @Test func `an error instead of a greeting passes on in the server's words, and is the end`() {
        let error = Self.packet(0, [0xFF, 0x10, 0x04] + "Too many connections".utf8)
        var play = begin()
        play.server(error)
        #expect(play.refusal == error)
        #expect(play.negotiation.failure?.reason.contains("Too many connections") == true)
        // TLS has not begun: whatever the client says goes nowhere.
        play.client(Self.response())
        #expect(!play.isRelaying && play.sentInPlain.isEmpty)
    }

    @Test(arguments: ["", "0a", "00000000", "010000000b", "ffffff000a", "05000000 0a38000000"])
    func `a greeting that is none is refused or waited for`(_ hex: String) {
        var play = begin()
        play.server([UInt8](hex: hex))
        #expect(play.told.isEmpty)
        #expect(!play.isRelaying)
    }

    @Test func `a greeting that is cut off anywhere inside is refused or waited for`() {
        let payload = Array(Self.greeting().dropFirst(4))
        for count in 1..<40 {
            var play = begin()
            play.server(Self.packet(0, Array(payload[..<count])))
            if count < 20 { #expect(play.refusal != nil) }
            #expect(play.sentInPlain.isEmpty)
        }
    }

    @Test func `responses that are cut off, out of order, too old or stuffed are refused`() {
        let response = Self.response()
        for bad in [
            Self.packet(1, Array(response.dropFirst(4).prefix(20))), Self.packet(2, Array(response.dropFirst(4))),
            Self.packet(1, [0x85, 0xA6, 0, 0, 0]), response + [0],
            Self.packet(1, Array(response.dropFirst(4).prefix(34))),
        ] {
            var play = begin()
            play.server(Self.greeting())
            play.client(bad)
            #expect(play.refusal?.contains(0xFF) == true)
            #expect(play.sentInPlain.isEmpty && play.sentSecured.isEmpty)
        }
        var early = begin()
        early.client([1])
        #expect(early.refusal != nil)
    }

    @Test func `full caching_sha2 authentication in plain gets our key, and the password is said to the server`() {
        let key = Array("-----BEGIN PUBLIC KEY-----\n".utf8)
        var play = begin(key: key)
        play.opened = zip(Array("secret\0".utf8), Self.salt).map { $0 ^ $1 }
        play.server(Self.greeting())
        play.client(Self.response())
        play.server(Self.packet(3, [1, 4]))
        play.client(Self.packet(3, [2]))
        #expect(Array(play.told.suffix(key.count + 5)) == Self.packet(4, [1] + key))
        let before = play.sentSecured.count
        play.client(Self.packet(5, [UInt8](repeating: 9, count: 256)))
        #expect(Array(play.sentSecured[before...]) == Self.packet(4, Array("secret\0".utf8)))
        play.server(Self.packet(5, [0, 0, 0, 2, 0, 0, 0]))
        #expect(Array(play.told.suffix(11)) == Self.packet(6, [0, 0, 0, 2, 0, 0, 0]))
        #expect(play.isRelaying)
    }

    @Test func `a password that does not open is refused, and so is one not mixed with the salt`() {
        for opened in [nil, [], [UInt8](repeating: 1, count: 7)] {
            var play = begin(key: [1])
            play.opened = opened
            play.server(Self.greeting())
            play.client(Self.response())
            play.server(Self.packet(3, [1, 4]))
            play.client(Self.packet(3, [2]))
            let before = play.sentSecured.count
            play.client(Self.packet(5, [9]))
            #expect(play.refusal?.contains(0xFF) == true)
            #expect(play.sentSecured.count == before)
        }
    }

    @Test func `an empty password is an empty packet, which passes`() {
        var play = begin()
        play.server(Self.greeting())
        play.client(Self.response())
        play.server(Self.packet(3, [0xFE] + "mysql_native_password\0".utf8 + Self.salt + [0]))
        let before = play.sentSecured.count
        play.client(Self.packet(3, []))
        #expect(Array(play.sentSecured[before...]) == [0, 0, 0, 4])
    }

    @Test func `a request for the key in place of a password is refused with what to change`() {
        var play = begin()
        play.server(Self.greeting(plugin: "sha256_password"))
        play.client(Self.response(auth: [1]))
        #expect(String(decoding: play.refusal ?? [], as: UTF8.self).contains("use caching_sha2_password"))
        #expect(play.sentInPlain.isEmpty)
    }
}
