import Platform
import Support
import Testing

@testable import Evidence

@Suite struct HelloTests {
    /// A ServerHello of TLS 1.2 without extensions.
    private func serverHello(version: [UInt8] = [3, 3], suite: [UInt8] = [0xC0, 0x2B], extensions: [UInt8]? = nil)
        -> [UInt8]
    {
        var body = version + [UInt8](repeating: 7, count: 32) + [0] + suite + [0]
        if let extensions { body += [UInt8(extensions.count >> 8), UInt8(extensions.count & 255)] + extensions }
        let handshake = [2, 0, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
        return [22, 3, 3, UInt8(handshake.count >> 8), UInt8(handshake.count & 255)] + handshake
    }

    @Test func readsAChoice() {
        let answer = HelloAnswer(serverHello(), isEnd: false)
        #expect(answer == .agreed(.tls12, CipherSuite(number: 0xC02B)))
        #expect(answer.text == "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    }

    @Test func theExtensionSaysWhichVersionItIs() {
        let hello = serverHello(suite: [0x13, 0x01], extensions: [0, 43, 0, 2, 3, 4])
        #expect(HelloAnswer(hello, isEnd: false) == .agreed(.tls13, CipherSuite(number: 0x1301)))
    }

    @Test func readsAlerts() {
        #expect(HelloAnswer([21, 3, 1, 0, 2, 2, 70], isEnd: false) == .alert(70))
        #expect(HelloAnswer([21, 3, 1, 0, 2, 2, 70], isEnd: false).text == "alert protocol_version (70)")
    }

    @Test func waitsForEveryByte() {
        let whole = serverHello(extensions: [0, 43, 0, 2, 3, 4])
        for count in 0..<whole.count {
            #expect(HelloAnswer(Array(whole.prefix(count)), isEnd: false) == .more)
            #expect(HelloAnswer(Array(whole.prefix(count)), isEnd: true) == .closed)
        }
    }

    @Test(arguments: [
        Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8),
        [22, 9, 9, 0, 4, 2, 0, 0, 0],
        [22, 3, 3, 0, 4, 1, 0, 0, 0],
        [22, 3, 3, 255, 255, 2, 255, 255, 255],
        [21, 3, 3, 0, 9, 1, 1],
        [0x80, 2, 9],
    ])
    func whatIsNotTLS(bytes: [UInt8]) { #expect(HelloAnswer(bytes, isEnd: true) == .notTLS) }

    @Test func hostileLengthsAreData() {
        var generator = SystemRandomNumberGenerator()
        let whole = serverHello(extensions: [0, 43, 0, 2, 3, 4])
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255) }
            _ = HelloAnswer(Array(bytes.prefix(.random(in: 0...bytes.count))), isEnd: true)
        }
    }

    @Test func helloIsFramedAsItSays() {
        for version in ProtocolVersion.allCases where version != .ssl2 {
            let suites = version == .tls13 ? CipherSuite.ofTLS13 : CipherSuite.older
            let bytes = ClientHello(version: version, suites: suites, serverName: "portal.example.org").bytes
            #expect(bytes[0] == 22)
            #expect(Int(bytes[3]) << 8 | Int(bytes[4]) == bytes.count - 5)
            #expect(Int(bytes[6]) << 16 | Int(bytes[7]) << 8 | Int(bytes[8]) == bytes.count - 9)
        }
    }

    @Test(arguments: [
        (0x1301, CipherSuite.Strength.approved), (0x1303, .strong), (0xC02B, .approved), (0xCCA8, .strong),
        (0xC023, .weak), (0x009C, .weak), (0x0005, .broken), (0x000A, .broken), (0x0003, .broken), (0x0034, .broken),
        (0x0000, .broken), (0xC0AE, .approved), (0xFAFA, .weak),
    ])
    func strengthOfSuites(number: Int, strength: CipherSuite.Strength) {
        let suite = CipherSuite(number: UInt16(number))
        #expect(suite.strength == strength, "\(suite.name)")
    }

    /// SSL 2.0's hello is met with silence, every other one with an alert.
    @Test func silenceIsNoRefusal() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let server = try ScriptedServer(certificate: nil) { connection in
            guard let hello = try connection.receive() else { return }
            if hello[0] & 0x80 == 0 {
                try connection.send([21, 3, 1, 0, 2, 2, 70])
            } else {
                _ = connection.receiveAll()
            }
        }
        let address = try #require(SocketAddress(ip: "127.0.0.1", port: server.port))
        let outcomes = try HelloProbe([address], serverName: nil, milliseconds: 300).outcomes()
        #expect(outcomes.map(\.isUnknown) == [true, false, false, false, false, false])
        #expect(outcomes[0].lastAnswer == "no answer in time")
        #expect(outcomes[5].lastAnswer == "alert protocol_version (70)")
    }

    private func outcome(_ version: String, _ suites: [String] = [], isUnknown: Bool = false) -> HelloProbe.Outcome {
        HelloProbe.Outcome(
            version: version,
            isForbidden: version < "TLS 1.2",
            suites: suites,
            lastAnswer: "",
            weak: [],
            unapproved: [],
            isUnknown: isUnknown
        )
    }

    @Test func whatWasNotAnsweredDoesNotHold() {
        let audit = ClientHopAudit(
            ClientHopAudit.Subject(
                site: "s",
                place: "p",
                addresses: [],
                host: nil,
                demandsCertificate: false,
                identity: nil,
                allowsUnapproved: false,
                authorities: nil,
                plain: []
            )
        )
        let good = outcome("TLS 1.3", ["TLS_AES_128_GCM_SHA256"])
        for (outcomes, versions, suites) in [
            ([outcome("TLS 1.0"), good], .holds, .holds),
            ([outcome("TLS 1.0", isUnknown: true), good], .notChecked, .notChecked),
            ([outcome("TLS 1.0", ["x"], isUnknown: true), good], .fallsShort, .notChecked),
            ([outcome("TLS 1.0"), outcome("TLS 1.3")], .fallsShort, .notChecked),
        ] as [([HelloProbe.Outcome], Verdict, Verdict)] {
            #expect(audit.versions(outcomes).map(\.verdict) == [versions])
            #expect(audit.suites(outcomes, group: nil).verdict == suites)
        }
    }

    @Test func whatHeldOnceDoesNotHoldForEver() throws {
        for (verdict, later) in [(Verdict.holds, Verdict.notChecked), (.fallsShort, .fallsShort)] {
            let finding: Finding =
                verdict == .holds ? .holds(.appTrust, "good") : .fallsShort(.appTrust, "bad", remedy: "")
            let hop = HopReport(kind: .app, name: "a", place: "p", facts: [], findings: [finding])
            let glance = Glance(hop, .unused, nil)
            for (seconds, expected) in [(Int64(60), verdict), (-1, later)] {
                let shown = HopMap.Hop(kind: .app, name: "a", place: "p", glance: glance, freshSeconds: seconds)
                #expect(shown.verdict == expected)
            }
        }
    }

    @Test func everySuiteHasAName() {
        #expect(CipherSuite.older.count > 300)
        #expect(CipherSuite.ofTLS13.count == 5)
        #expect(CipherSuite(number: 0x00FA).name == "0x00FA")
    }
}

@Suite struct PlainAnswerTests {
    private func response(_ status: Int, _ location: String? = nil) -> ProbedResponse {
        ProbedResponse(status: status, fields: location.map { [("location", $0)] } ?? [])
    }

    private func verdict(_ answer: ProbedAnswer, isPortOfTLS: Bool = false) -> Verdict {
        PlainAnswer(answer, isPortOfTLS: isPortOfTLS).finding(.clientRedirect, place: "", remedy: "").verdict
    }

    @Test func onlyRefusalsAndRedirectsToHTTPSHold() {
        #expect(verdict(.refusal("closed")) == .holds)
        #expect(verdict(.response(response(426))) == .holds)
        #expect(verdict(.response(response(301, "https://portal/"))) == .holds)
        #expect(verdict(.response(response(302, "http://portal/login"))) == .fallsShort)
        for status in [200, 204, 401, 403, 404, 500, 503] {
            #expect(verdict(.response(response(status))) == .fallsShort)
        }
    }

    @Test func whatSaysNothingOfOthersIsNotChecked() {
        #expect(verdict(.unreadable("noise")) == .notChecked)
        for status in [400, 421] {
            #expect(verdict(.response(response(status))) == .notChecked)
            #expect(verdict(.response(response(status)), isPortOfTLS: true) == .holds)
        }
    }

    @Test(
        arguments: [
            ("max-age=31536000", UInt64(31_536_000)), ("includeSubDomains; max-age=\"60\"", 60),
            ("MAX-AGE = 1 ;preload", 1),
            ("max-age=-1", nil), ("max-age=+5", nil), ("preload", nil), ("max-age=99999999999999999999999", nil),
        ] as [(String, UInt64?)]
    )
    func maximumAge(field: String, age: UInt64?) { #expect(ClientHopAudit.maximumAge(field) == age) }
}
