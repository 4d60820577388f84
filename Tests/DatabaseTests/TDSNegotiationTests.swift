import Database
import Testing

@Suite("SQL Server's negotiation") struct TDSNegotiationTests {
    static func packet(_ type: UInt8, _ payload: [UInt8], last: Bool = true) -> [UInt8] {
        [type, last ? 1 : 0, UInt8((payload.count + 8) >> 8), UInt8((payload.count + 8) & 255), 0, 0, 1, 0] + payload
    }

    static func options(_ encryption: UInt8?, instance: String = "MSSQLServer") -> [UInt8] {
        let data: [(UInt8, [UInt8])] =
            [(0, [9, 0, 0, 0, 0, 0])] + (encryption.map { [(1, [$0])] } ?? []) + [
                (2, Array(instance.utf8) + [0]), (4, [1]),
            ]
        var head: [UInt8] = []
        var values: [UInt8] = []
        for (token, value) in data {
            let offset = data.count * 5 + 1 + values.count
            head += [token, UInt8(offset >> 8), UInt8(offset & 255), 0, UInt8(value.count)]
            values += value
        }
        return head + [0xFF] + values
    }

    static func prelogin(_ encryption: UInt8?) -> [UInt8] { packet(0x12, options(encryption)) }
    static func answer(_ encryption: UInt8?) -> [UInt8] { packet(0x04, options(encryption, instance: "")) }

    static func login(version: UInt8 = 0x74) -> [UInt8] {
        var payload: [UInt8] = [110, 0, 0, 0, 0, 0, 0, version] + [UInt8](repeating: 0, count: 28)
        payload += [94, 0, 0, 0, 94, 0, 2, 0, 98, 0, 6, 0]
        payload += [UInt8](repeating: 0, count: 94 - payload.count)
        return packet(0x10, payload + .wide("sa") + [UInt8](repeating: 0xA5, count: 12))
    }

    static let acknowledged = acknowledgement(0x74)

    static func acknowledgement(_ version: UInt8) -> [UInt8] {
        let name = [UInt8].wide("SQL")
        let body: [UInt8] = [1, version, 0, 0, 4, 3] + name + [15, 0, 0, 0]
        return [0xAD, UInt8(body.count), 0] + body
    }

    static let done: [UInt8] = [0xFD, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8)

    static func change(_ kind: UInt8, _ value: [UInt8], old: [UInt8] = [0]) -> [UInt8] {
        [0xE3, UInt8(value.count + 1 + old.count), 0, kind] + value + old
    }

    static func route(_ host: String, _ port: UInt16) -> [UInt8] {
        let data: [UInt8] = [0, UInt8(port & 255), UInt8(port >> 8), UInt8(host.utf8.count), 0] + .wide(host)
        return change(20, [UInt8(data.count), 0] + data, old: [0, 0])
    }

    private func begin(
        certificate: Bool = false,
        loginOnly: Bool = false,
        strict: Bool = false,
        alpn: String? = nil
    ) -> Rehearsal {
        var settings = NegotiationSettings()
        settings.hasCertificate = certificate
        settings.allowsLoginOnly = loginOnly
        settings.strictServer = strict
        settings.detours = [.init(server: "ag.internal", port: 1433, bindingHost: "127.0.0.1", bindingPort: 2433)]
        return Rehearsal(.tds(TDSNegotiation(settings)), alpn: alpn)
    }

    /// ENCRYPTION of the PRELOGIN that the client was answered with.
    private func answered(_ play: Rehearsal) -> UInt8? {
        let payload = Array(play.told.dropFirst(8))
        guard payload.count > 10, payload[5] == 1 else { return nil }
        let offset = Int(payload[6]) << 8 | Int(payload[7])
        return offset < payload.count ? payload[offset] : nil
    }

    @Test func `the server is asked for full encryption with the client's own options`() {
        for encryption in [UInt8(0), 2, nil] {
            var play = begin()
            play.client(Self.prelogin(encryption))
            #expect(play.done == ["dial", "send"])
            #expect(play.sentInPlain == Self.prelogin(1))
            play.server(Self.answer(1))
            #expect(play.done.contains("secure server enveloped"))
            #expect(answered(play) == 2)
            play.client(Self.login())
            #expect(play.sentSecured == Self.login())
            #expect(play.sentInPlain == Self.prelogin(1))
            #expect(play.negotiation.user == "sa")
        }
    }

    /// What a client says, what a binding with a certificate answers, and whether the login alone is encrypted.
    @Test(arguments: [
        (UInt8(0), false, UInt8(3), true), (1, false, 1, true), (3, false, 1, true), (2, false, 3, false),
        (0, true, 0, true), (1, true, 1, true), (2, true, 2, false), (0x80, false, 3, true), (0x81, true, 1, true),
    ])
    func `a binding with a certificate answers by the table`(_ row: (UInt8, Bool, UInt8, Bool)) {
        let (said, loginOnly, answer, secures) = row
        var play = begin(certificate: true, loginOnly: loginOnly)
        play.client(Self.prelogin(said))
        if said == 2, !loginOnly {
            #expect(play.refusal != nil)
            #expect(!play.done.contains("dial"))
            return
        }
        play.server(Self.answer(1))
        #expect(answered(play) == answer)
        #expect(play.done.contains("secure client enveloped") == secures)
        play.client(Self.login())
        #expect(play.done.contains("unsecure") == (loginOnly && said & 0x7F == 0))
        #expect(play.sentSecured == Self.login())
    }

    @Test func `a client that insists on encryption is told that there is none, and no server is asked`() {
        for said in [UInt8(1), 3, 0x81] {
            var play = begin()
            play.client(Self.prelogin(said))
            #expect(!play.done.contains("dial"))
            #expect(play.refusal?.first == 4)
        }
    }

    @Test(arguments: [UInt8?(0), 2, 0x82, 7, nil])
    func `a server that does not encrypt everything gets no login`(_ encryption: UInt8?) {
        var play = begin()
        play.client(Self.prelogin(0))
        play.server(Self.answer(encryption))
        #expect(!play.done.contains("secure server enveloped"))
        #expect(answered(play) == 2)
        play.client(Self.login())
        #expect(play.sentSecured.isEmpty)
        #expect(play.sentInPlain == Self.prelogin(1))
        #expect(String(decoding: play.refusal ?? [], as: UTF8.self).contains("r\0e\0f\0u\0s\0e\0s\0 \0T\0L\0S\0"))
    }

    @Test func `whatever the pieces, the outcome is the same`() {
        let options = Self.options(0)
        let inPackets =
            Self.packet(0x12, Array(options.prefix(7)), last: false) + Self.packet(0x12, Array(options.dropFirst(7)))
        for message in [Self.prelogin(0), inPackets] {
            for split in 0...message.count {
                var play = begin()
                play.client(Array(message[..<split]))
                play.client(Array(message[split...]))
                for byte in Self.answer(3) { play.server([byte]) }
                for byte in Self.login() { play.client([byte]) }
                for byte in Self.packet(4, Self.acknowledged + Self.done) { play.server([byte]) }
                #expect(play.sentInPlain == Self.prelogin(1))
                #expect(play.isRelaying)
            }
        }
    }

    @Test func `first messages that are cut off go nowhere`() {
        for count in 0..<Self.prelogin(0).count {
            var play = begin()
            play.client(Array(Self.prelogin(0)[..<count]))
            #expect(play.done.isEmpty)
        }
        for count in 0..<Self.login().count {
            var play = begin()
            play.client(Self.prelogin(0))
            play.server(Self.answer(1))
            play.client(Array(Self.login()[..<count]))
            #expect(play.sentSecured.isEmpty)
        }
    }

    @Test func `bytes stuffed behind a message are refused, from either side`() {
        var client = begin()
        client.client(Self.prelogin(0) + [0])
        #expect(client.refusal == [])
        #expect(!client.done.contains("dial"))
        var server = begin()
        server.client(Self.prelogin(0))
        server.server(Self.answer(1) + [0x17])
        #expect(!server.done.contains("secure server enveloped"))
        var late = begin(certificate: true)
        late.client(Self.prelogin(1))
        late.client([0x12])
        late.server(Self.answer(1))
        #expect(late.refusal == [])
        #expect(!late.done.contains("secure client enveloped"))
    }

    @Test(arguments: [
        "12010007", "12010008000001 00", "1201000900000100ff", "12010009000001 0000",
        "1201000e00000100 00 00ff 0006 ff",
        "120100170000010001000b000101000b0001ff020000", "10010008000001 00", "0201000900000100ff", "1601030100",
        "474554202f",
        "12000008000001 00",
    ])
    func `what is no PRELOGIN is refused, and no server is asked`(_ hex: String) {
        var play = begin()
        play.client([UInt8](hex: hex) + [UInt8](repeating: 0, count: 8))
        #expect(!play.done.contains("dial"))
        #expect(play.refusal != nil)
    }

    @Test func `a message without end is refused`() {
        var play = begin()
        for _ in 0..<6 { play.client(Self.packet(0x12, [UInt8](repeating: 0, count: 1000), last: false)) }
        #expect(play.refusal != nil)
    }

    @Test func `TDS 8_0 towards the server has TLS first`() {
        var play = begin(strict: true)
        play.client(Self.prelogin(0))
        #expect(Array(play.done.prefix(3)) == ["dial", "secure server direct", "send"])
        #expect(play.sentInPlain.isEmpty)
        #expect(play.sentSecured == Self.prelogin(4))
        play.server(Self.answer(4))
        play.client(Self.login())
        #expect(play.sentSecured == Self.prelogin(4) + Self.login())
    }

    /// Drivers differ in what they say inside TLS, and some insist on hearing it again.
    @Test(arguments: [UInt8(0), 1, 2, 4])
    func `a client of TDS 8_0 hears its own word on encryption`(_ said: UInt8) {
        var play = begin(certificate: true, alpn: "tds/8.0")
        play.client([0x16])
        play.client(Self.prelogin(said))
        play.server(Self.answer(1))
        #expect(answered(play) == said)
        play.client(Self.login(version: 0x08))
        #expect(play.sentSecured == Self.login(version: 0x08))
        play.server(Self.packet(4, Self.acknowledgement(0x08) + Self.done))
        #expect(play.isRelaying)
    }

    @Test func `outside TLS no client speaks TDS 8_0`() {
        for certificate in [false, true] {
            var play = begin(certificate: certificate)
            play.client(Self.prelogin(4))
            #expect(play.refusal == [])
            #expect(!play.done.contains("dial"))
        }
    }

    @Test func `the counts of DONE are as long as the acknowledged version has them`() {
        for (version, count) in [(UInt8(0x08), 8), (0x74, 8), (0x72, 8), (0x71, 4), (0x07, 4)] {
            var play = loggedIn()
            let done: [UInt8] = [0xFD, 0, 0, 0, 0] + [UInt8](repeating: 0, count: count)
            play.server(Self.packet(4, Self.acknowledgement(version) + done + done))
            #expect(play.isRelaying, "version \(version)")
        }
    }

    @Test func `TDS 8_0 from the client has TLS first and its ALPN`() {
        var right = begin(certificate: true, alpn: "tds/8.0")
        right.client([0x16])
        #expect(right.done == ["secure client direct"])
        var wrong = begin(certificate: true, alpn: nil)
        wrong.client([0x16])
        #expect(wrong.refusal == [])
        var none = begin(alpn: "tds/8.0")
        none.client([0x16])
        #expect(none.refusal == [])
    }

    @Test func `a client of TDS 7_0 logs in without PRELOGIN, everyhop with one`() {
        var play = begin()
        play.client(Self.login(version: 0x70))
        #expect(play.sentInPlain.first == 0x12)
        play.server(Self.answer(1))
        #expect(play.sentSecured == Self.login(version: 0x70))
        var encrypted = begin(certificate: true)
        encrypted.client(Self.login(version: 0x70))
        #expect(encrypted.refusal == [])
    }

    private func loggedIn() -> Rehearsal {
        var play = begin()
        play.client(Self.prelogin(0))
        play.server(Self.answer(1))
        play.client(Self.login())
        return play
    }

    @Test func `a redirect to a configured server leads to its binding`() {
        var play = loggedIn()
        let before = play.told.count
        play.server(Self.packet(4, Self.acknowledged + Self.route("AG.internal", 1433) + Self.done))
        let expected = Self.packet(4, Self.acknowledged + Self.route("127.0.0.1", 2433) + Self.done)
        #expect(Array(play.told[before...]) == expected)
        #expect(play.isRelaying)
        #expect(play.negotiation.notice?.contains("127.0.0.1:2433") == true)
    }

    @Test(arguments: [("ag.internal", UInt16(1434)), ("other", 1433)])
    func `a redirect to a stranger is refused`(_ stranger: (String, UInt16)) {
        var play = loggedIn()
        let before = play.told.count
        play.server(Self.packet(4, Self.acknowledged + Self.route(stranger.0, stranger.1) + Self.done))
        #expect(play.told.count == before)
        #expect(!play.isRelaying)
        #expect(play.negotiation.failure?.reason.contains(stranger.0) == true)
    }

    @Test func `a mirroring partner is taken out, all else stays`() {
        var play = loggedIn()
        let before = play.told.count
        let name = [UInt8].wide("mirror")
        play.server(Self.packet(4, Self.change(13, [6] + name) + Self.acknowledged + Self.done))
        #expect(Array(play.told[before...]) == Self.packet(4, Self.acknowledged + Self.done))
        #expect(play.isRelaying)
    }

    @Test func `tokens of integrated authentication pass until the login is decided`() {
        var play = loggedIn()
        let challenge = Self.packet(4, [0xED, 1, 0, 7])
        play.server(challenge)
        #expect(Array(play.told.suffix(challenge.count)) == challenge)
        #expect(!play.isRelaying)
        play.client(Self.packet(0x11, [8]))
        #expect(Array(play.sentSecured.suffix(9)) == Self.packet(0x11, [8]))
        // A redirect that comes late is seen as well.
        play.server(Self.packet(4, Self.acknowledged + Self.route("other", 1) + Self.done))
        #expect(!play.isRelaying)
    }

    @Test func `a refused login passes in the server's words, of every version`() {
        for (version, length) in [(UInt8(0x74), 12), (0x71, 8), (0x74, 8)] {
            var play = begin()
            play.client(Self.prelogin(0))
            play.server(Self.answer(1))
            play.client(Self.login(version: version))
            let error: [UInt8] = [0xAA, 3, 0, 1, 2, 3, 0xFD, 2, 0] + [UInt8](repeating: 0, count: length - 2)
            play.server(Self.packet(4, error))
            #expect(Array(play.told.suffix(error.count)) == error)
            #expect(play.isRelaying)
        }
    }

    @Test(arguments: ["00", "e3ffff14", "e3 0500 14 0300 01 00", "ad0000", "fd00", "ae01ff", "d1000000"])
    func `an answer that cannot be read whole is refused: anything might hide in it`(_ hex: String) {
        var play = loggedIn()
        let before = play.told.count
        play.server(Self.packet(4, [UInt8](hex: hex)))
        #expect(play.told.count == before)
        #expect(!play.isRelaying)
        #expect(play.refusal?.first == 4)
    }

    @Test func `a failure is an ERROR token in the client's version`() {
        for (version, line, done) in [(UInt8(0x74), 4, 8), (0x71, 2, 4), (0x08, 4, 8)] {
            var play = begin()
            play.client(Self.prelogin(0))
            play.fail("x")
            play.client(Self.login(version: version))
            let refusal = play.refusal ?? []
            let length = Int(refusal[9]) | Int(refusal[10]) << 8
            #expect(refusal[8] == 0xAA)
            #expect(refusal.count == 8 + 3 + length + 5 + done)
            #expect(refusal[8 + 3 + length] == 0xFD)
            #expect(
                Array(refusal[(8 + 3 + length - line)...].prefix(line)) == [1] + [UInt8](repeating: 0, count: line - 1)
            )
        }
    }
}
