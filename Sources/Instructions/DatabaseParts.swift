import Database

/// A login, from the application's first byte to the first byte that is only relayed.
final class Login: Part {
    private let machine: Negotiation
    /// What is said; the next piece whenever the machine waits.
    private let conversation: [(side: Side, bytes: [UInt8])]
    private let alpn: String?

    fileprivate init(_ name: String, _ machine: Negotiation, alpn: String? = nil, _ conversation: [(Side, [UInt8])]) {
        self.machine = machine
        self.conversation = conversation
        self.alpn = alpn
        super.init(name)
    }

    override func once() {
        var machine = machine
        var (client, server): ([UInt8], [UInt8]) = ([], [])
        var said = 0
        while true {
            let turn = machine.next(client: client.span, server: server.span)
            client.removeFirst(turn.fromClient)
            server.removeFirst(turn.fromServer)
            switch turn.step {
            case .proceed, .send, .unsecureClient: continue
            case .dial: machine.dialled()
            case .secure(let side, _): machine.secured(side, alpn: alpn)
            case .relay: return
            case .read where said < conversation.count:
                let piece = conversation[said]
                if piece.side == .client { client += piece.bytes } else { server += piece.bytes }
                said += 1
            case .read, .decrypt, .refuse: stop("\(name): \(turn.step)")
            }
        }
    }
}

extension Part {
    static var postgres: Login {
        Login(
            "PostgreSQL login",
            .postgres(PostgresNegotiation(NegotiationSettings())),
            alpn: "postgresql",
            [
                (.client, [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]),
                (.client, [0, 0, 0, 20, 0, 3, 0, 0] + Sample.bytes("user\0alice\0\0")),
                (.server, [0x53]), (.server, [0x52, 0, 0, 0, 23, 0, 0, 0, 10] + Sample.bytes("SCRAM-SHA-256\0\0")),
            ]
        )
    }

    static var tds: Login {
        Login(
            "SQL Server login",
            .tds(TDSNegotiation(NegotiationSettings())),
            [
                (.client, [0x12, 1, 0, 20, 0, 0, 1, 0, 0, 0, 6, 0, 5, 1, 0, 11, 0, 1, 0xFF, 2]),
                (.server, [0x04, 1, 0, 20, 0, 0, 1, 0, 1, 0, 6, 0, 1, 0xFF, 1, 0, 0, 0, 0, 0]),
                (
                    .client,
                    [0x10, 1, 0, 102, 0, 0, 1, 0, 94, 0, 0, 0, 4, 0, 0, 0x74] + [UInt8](repeating: 0, count: 86)
                ),
                (
                    .server,
                    [0x04, 1, 0, 36, 0, 0, 1, 0, 0xAD, 12, 0, 1, 0x74, 0, 0, 4, 1, 0x53, 0, 15, 0, 7, 208]
                        + [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
                ),
            ]
        )
    }

    static var mysql: Login {
        let greeting: [UInt8] =
            [49, 0, 0, 0, 10, 0x38, 0, 7, 0, 0, 0] + [UInt8](repeating: 0x41, count: 8)
            + [0, 0, 0x8A, 45, 2, 0, 8, 0, 21] + [UInt8](repeating: 0, count: 10)
            + [UInt8](repeating: 0x41, count: 12) + [0, 0x78, 0]
        let answer: [UInt8] =
            [39, 0, 0, 1, 0, 0xA2, 0, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
            + Sample.bytes("b\0\u{4}abcd")
        return Login(
            "MySQL login",
            .mysql(MySQLNegotiation(NegotiationSettings())),
            [(.server, greeting), (.client, answer), (.server, [7, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0])]
        )
    }
}
