import Database

/// The negotiations of databases, and what has to hold whatever both sides send and whatever fails.
struct NegotiationTarget {
    private var negotiation: Negotiation
    private var client: [UInt8]
    private var server: [UInt8]
    private var serverIsSecured = false
    private var serverIsDialled = false
    private var isRelaying = false
    /// Between what the client says and what the server says.
    static let separator: [UInt8] = [0xDE, 0xAD, 0xBE, 0xEF]

    /// Conversations: each side's part up to the end of the login.
    static let seeds: [[UInt8]] = [
        [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F] + [0, 0, 0, 20, 0, 3, 0, 0] + Array("user\0alice\0\0".utf8) + separator
            + [0x53, 0x52, 0, 0, 0, 42, 0, 0, 0, 10] + Array("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".utf8),
        [0, 0, 0, 16, 0x04, 0xD2, 0x16, 0x2E, 0, 0, 0, 1, 0, 0, 0, 2] + separator + [0x53],
        [36, 0, 0, 1, 0, 0xA2, 8, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23) + Array("b\0".utf8) + [1, 1]
            + [1, 0, 0, 3, 2] + [1, 0, 0, 5, 9] + separator + [44, 0, 0, 0, 10, 0x38, 0, 7, 0, 0, 0]
            + [UInt8](repeating: 0x41, count: 8) + [0, 0, 0x8A, 45, 2, 0, 8, 0, 21] + [UInt8](repeating: 0, count: 10)
            + [UInt8](repeating: 0x41, count: 12) + [0, 0x78, 0] + [2, 0, 0, 3, 1, 4] + [1, 0, 0, 4, 0],
        [0x12, 1, 0, 20, 0, 0, 1, 0, 0, 0, 6, 0, 5, 1, 0, 11, 0, 1, 0xFF, 0] + separator
            + [0x04, 1, 0, 20, 0, 0, 1, 0, 1, 0, 6, 0, 1, 0xFF, 1, 0, 0, 0, 0, 0],
        [0x10, 1, 0, 102, 0, 0, 1, 0, 94, 0, 0, 0, 0, 0, 0, 0x70] + [UInt8](repeating: 0, count: 86) + separator
            + [0x04, 1, 0, 15, 0, 0, 1, 0, 1, 0, 6, 0, 1, 0xFF, 1]
            + [0x04, 1, 0, 35, 0, 0, 1, 0, 0xE3, 11, 0, 20, 7, 0, 0, 1, 0, 1, 0, 0x61, 0, 0, 0]
            + [0xED, 1, 0, 1, 0xFD, 0, 0, 0, 0, 0, 0, 0],
        [0x16, 0x12, 1, 0, 20, 0, 0, 1, 0, 0, 0, 6, 0, 5, 1, 0, 11, 0, 1, 0xFF, 4]
            + [0x10, 1, 0, 102, 0, 0, 1, 0, 94, 0, 0, 0, 0, 0, 0, 8] + [UInt8](repeating: 0, count: 86) + separator
            + [0x04, 1, 0, 20, 0, 0, 1, 0, 1, 0, 6, 0, 1, 0xFF, 1, 0, 0, 0, 0, 0]
            + [0x04, 1, 0, 31, 0, 0, 1, 0, 0xAD, 7, 0, 1, 8, 0, 0, 0, 0, 0]
            + [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 2, 3] + separator + [9, 0, 0, 0, 0xFF, 0x10, 4] + Array("Too ma".utf8),
    ]

    /// What is wrong with how a negotiation dealt with `input`, or nil.
    ///
    /// - Parameter relayed: counts those that got through to the end of the login.
    static func check(_ input: [UInt8], _ random: inout Random, relayed: inout Int) -> String? {
        var settings = NegotiationSettings()
        settings.hasCertificate = random.below(2) == 0
        settings.allowsLoginOnly = random.below(2) == 0
        settings.strictServer = random.below(4) == 0
        settings.isLocal = random.below(2) == 0
        settings.isUnixSocket = random.below(4) == 0
        settings.passwordKeyPEM = random.below(2) == 0 ? [1, 2, 3] : nil
        settings.detours = [.init(server: "a", port: 1, bindingHost: "127.0.0.1", bindingPort: 2)]
        let (client, server) = halves(input, &random)
        for machine in [
            Negotiation.tds(TDSNegotiation(settings)), .postgres(PostgresNegotiation(settings)),
            .mysql(MySQLNegotiation(settings)),
        ] {
            var target = NegotiationTarget(negotiation: machine, client: client, server: server)
            if let failure = target.run(failsAfter: random.below(32)) { return failure }
            if target.isRelaying { relayed += 1 }
        }
        return nil
    }

    private static func halves(_ input: [UInt8], _ random: inout Random) -> ([UInt8], [UInt8]) {
        if let first = input.indices.dropLast(3).first(where: { input[$0] == 0xDE && input[$0 + 1] == 0xAD }) {
            return (Array(input[..<first]), Array(input[(first + 4)...]))
        }
        let split = random.below(input.count + 1)
        return (Array(input[..<split]), Array(input[split...]))
    }

    private init(negotiation: Negotiation, client: [UInt8], server: [UInt8]) {
        self.negotiation = negotiation
        self.client = client
        self.server = server
    }

    private static func next(_ negotiation: inout Negotiation, _ client: [UInt8], _ server: [UInt8]) -> NegotiationTurn
    {
        negotiation.next(client: client.span, server: server.span)
    }

    private mutating func run(failsAfter: Int) -> String? {
        var steps = 0
        var hasFailed = false
        while steps < 10_000 {
            if steps == failsAfter, !hasFailed {
                hasFailed = true
                negotiation.failed(NegotiationFailure(.server, "told to fail"))
            }
            steps += 1
            let turn = Self.next(&negotiation, client, server)
            guard turn.fromClient <= client.count, turn.fromServer <= server.count else {
                return "more consumed than there is"
            }
            client.removeFirst(turn.fromClient)
            server.removeFirst(turn.fromServer)
            switch turn.step {
            case .proceed: continue
            case .read:
                // Nothing more comes: then the sides are given up, and the client is told, or not.
                guard !hasFailed else { return nil }
                hasFailed = true
                negotiation.failed(NegotiationFailure(.server, "nothing more"))
            case .dial:
                guard !serverIsDialled else { return "dialled twice" }
                serverIsDialled = true
                negotiation.dialled()
            case .secure(let side, _):
                if side == .server {
                    guard serverIsDialled, !hasFailed else { return "a server secured that is not there" }
                    serverIsSecured = true
                }
                // What was only looked at belongs to TLS.
                if side == .client, client.first == 0x16 { client.removeFirst() }
                negotiation.secured(side, alpn: alpn)
            case .send(.server, let bytes):
                if let failure = checkSent(bytes, hasFailed) { return failure }
            case .send(.client, _), .unsecureClient: continue
            case .decrypt(let sealed): negotiation.decrypted(sealed.isEmpty ? nil : sealed)
            case .relay:
                isRelaying = true
                return hasFailed ? "relaying after a failure" : serverIsSecured ? nil : "relaying in plain"
            case .refuse: return nil
            }
        }
        return "steps without end"
    }

    private var alpn: String? {
        switch negotiation {
        case .tds: "tds/8.0"
        case .postgres: "postgresql"
        case .mysql: nil
        }
    }

    /// Before TLS, a server is sent a request for it, of which the client may have chosen some options.
    private func checkSent(_ bytes: [UInt8], _ hasFailed: Bool) -> String? {
        if hasFailed { return "sent to the server after a failure" }
        guard serverIsDialled else { return "sent to a server that is not there" }
        if serverIsSecured { return nil }
        switch negotiation {
        case .postgres: return bytes.count == 8 ? nil : "more than SSLRequest in plain"
        case .mysql: return bytes.count == 36 && bytes[5] & 0x08 != 0 ? nil : "more than SSLRequest in plain"
        case .tds: return bytes.first == 0x12 ? nil : "something else than PRELOGIN in plain"
        }
    }
}
