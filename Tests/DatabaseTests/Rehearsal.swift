import Database

/// Plays both sides' bytes and all events to a negotiation, and keeps what it did.
struct Rehearsal {
    /// What happened, in order; texts are easier to compare than steps.
    private(set) var done: [String] = []
    /// What the server was sent before and after it was secured.
    private(set) var sentInPlain: [UInt8] = []
    private(set) var sentSecured: [UInt8] = []
    private(set) var told: [UInt8] = []
    private(set) var refusal: [UInt8]?
    var negotiation: Negotiation
    private var client: [UInt8] = []
    private var server: [UInt8] = []
    private var isSecured = false
    private(set) var isRelaying = false
    private let alpn: String?
    /// What `decrypt` answers.
    var opened: [UInt8]?

    init(_ negotiation: Negotiation, alpn: String? = nil) {
        self.negotiation = negotiation
        self.alpn = alpn
        run()
    }

    mutating func client(_ bytes: [UInt8]) {
        client += bytes
        run()
    }

    mutating func server(_ bytes: [UInt8]) {
        server += bytes
        run()
    }

    mutating func fail(_ reason: String) {
        negotiation.failed(NegotiationFailure(.server, reason))
        run()
    }

    private static func next(_ negotiation: inout Negotiation, _ client: [UInt8], _ server: [UInt8]) -> NegotiationTurn
    {
        negotiation.next(client: client.span, server: server.span)
    }

    /// Goes on until more bytes are needed.
    private mutating func run() {
        while refusal == nil, !isRelaying {
            let turn = Self.next(&negotiation, client, server)
            client.removeFirst(turn.fromClient)
            server.removeFirst(turn.fromServer)
            switch turn.step {
            case .proceed: continue
            case .read: return
            case .dial:
                done.append("dial")
                negotiation.dialled()
            case .secure(let side, let form):
                done.append("secure \(side) \(form)")
                if side == .server { isSecured = true }
                // What waits of the client was only looked at: it is TLS's.
                if side == .client { client = [] }
                negotiation.secured(side, alpn: side == .client ? alpn : nil)
            case .send(.client, let bytes):
                done.append("tell")
                told += bytes
            case .send(.server, let bytes):
                done.append("send")
                if isSecured { sentSecured += bytes } else { sentInPlain += bytes }
            case .unsecureClient: done.append("unsecure")
            case .decrypt: negotiation.decrypted(opened)
            case .relay:
                done.append("relay")
                isRelaying = true
            case .refuse(let bytes):
                done.append("refuse")
                refusal = bytes
            }
        }
    }
}

extension [UInt8] {
    /// Hexadecimal digits, with or without blanks.
    init(hex text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        self = stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    /// As UTF-16, least significant byte first.
    static func wide(_ text: String) -> [UInt8] { text.utf8.flatMap { [$0, 0] as [UInt8] } }
}
