import ACME
import Bytes
import Config
import Evidence
import HTTP
import Platform
import TLS

/// Asks an authority's server, which is verified like every other; each question has a connection and a deadline of its
/// own.
struct DirectoryClient {
    /// How long one question may take, in milliseconds.
    private static let patience: UInt64 = 30_000
    private static let longestHead = 65_536
    /// A chain of certificates is much shorter.
    private static let longestBody = 262_144

    let trust: ClientContext.Trust

    /// Asks; each address of the server may take its time.
    ///
    /// - Parameter listen: called before each of them.
    func ask(_ request: Issuance.Request, listen: () throws -> Void) throws -> Issuance.Answer {
        let address = request.address
        let context = try ClientContext(trust: trust, name: address.host, policy: .nist80052r2, alpn: ["http/1.1"])
        let addresses = try NameResolution.resolve(address.host, port: address.port)
        var last: any Error = ProbeFailure("no address")
        for address in addresses {
            try listen()
            let connection: ProbeConnection
            do { connection = try ProbeConnection(to: address, milliseconds: Self.patience) } catch {
                last = error
                continue
            }
            _ = try connection.secure(context)
            try connection.send(Self.head(request) + request.body)
            return try Self.answer(connection, to: request.method == .head ? .head : .get)
        }
        throw last
    }

    private static func head(_ request: Issuance.Request) -> [UInt8] {
        var text = "\(request.method.rawValue) \(request.address.target) HTTP/1.1\r\n"
        text +=
            "Host: \(request.address.authority)\r\nUser-Agent: everyhop/\(Version.text)\r\nAccept: \(request.accepts)\r\n"
        if request.method == .post {
            text += "Content-Type: application/jose+json\r\nContent-Length: \(request.body.count)\r\n"
        }
        return Array((text + "Connection: close\r\n\r\n").utf8)
    }

    private static func answer(_ connection: ProbeConnection, to method: Method) throws -> Issuance.Answer {
        var parser = ResponseParser(limit: longestHead)
        var head = ResponseHead()
        var received: [UInt8] = []
        while true {
            let more = try connection.receive()
            guard !more.isEmpty else { throw ProbeFailure("the authority's server closed the connection") }
            received += more
            while let size = try parser.parse(received.span, into: &head, requestMethod: method) {
                received.removeFirst(size)
                guard head.isInformational else {
                    return Self.answer(head, try body(connection, head.framing, received))
                }
                parser.reset()
            }
            guard received.count <= longestHead else { throw ProbeFailure("the authority's server sends without end") }
        }
    }

    private static func body(
        _ connection: ProbeConnection,
        _ framing: BodyFraming,
        _ beginning: [UInt8]
    ) throws -> [UInt8] {
        var received = beginning
        switch framing {
        case .none: return []
        case .length(let length):
            guard length <= UInt64(longestBody) else { throw ProbeFailure("the authority's answer is too long") }
            while received.count < Int(length) { received += try more(connection) }
            return Array(received.prefix(Int(length)))
        case .untilClose:
            while true {
                guard received.count <= longestBody else { throw ProbeFailure("the authority's answer is too long") }
                let more = try connection.receive()
                if more.isEmpty { return received }
                received += more
            }
        case .chunked: return try chunks(connection, received)
        }
    }

    private static func chunks(_ connection: ProbeConnection, _ beginning: [UInt8]) throws -> [UInt8] {
        var decoder = ChunkedDecoder()
        var trailers = HeaderBlock()
        var received = beginning
        var body: [UInt8] = []
        while true {
            var offset = 0
            decoding: while true {
                switch try decoder.next(received.span, from: &offset, trailers: &trailers) {
                case .data(let range): body += received[range]
                case .needMore: break decoding
                case .end: return body
                }
                guard body.count <= longestBody else { throw ProbeFailure("the authority's answer is too long") }
            }
            received = try more(connection)
        }
    }

    private static func more(_ connection: ProbeConnection) throws -> [UInt8] {
        let more = try connection.receive()
        guard !more.isEmpty else { throw ProbeFailure("the authority's answer is cut off") }
        return more
    }

    private static func answer(_ head: borrowing ResponseHead, _ body: [UInt8]) -> Issuance.Answer {
        var answer = Issuance.Answer(status: head.status, body: body)
        for index in 0..<head.fields.count {
            let value = head.fields.value(index)
            if ASCII.equalIgnoringCase(head.fields.name(index), "replay-nonce") { answer.nonce = text(value) }
            if ASCII.equalIgnoringCase(head.fields.name(index), "location") { answer.location = text(value) }
            if ASCII.equalIgnoringCase(head.fields.name(index), "retry-after") { answer.retryAfter = seconds(value) }
        }
        return answer
    }

    /// RFC 9110 §10.2.3: a number of seconds, or a date.
    private static func seconds(_ value: Span<UInt8>) -> UInt64? {
        if let seconds = ASCII.decimal(value) { return seconds }
        let now = Int64(clamping: Clock.unixMicroseconds() / 1_000_000)
        return HTTPDate.read(value, now: now).map { UInt64(max(0, $0 - now)) }
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }
}
