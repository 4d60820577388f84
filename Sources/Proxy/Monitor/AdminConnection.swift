import Bytes
import Config
import HTTP
import Platform

/// The admin address's socket.
final class AdminListener {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = consume descriptor }
}

/// What is asked of the admin address.
struct AdminRequest {
    let path: String
    /// The host that the client believes to speak to, without port; empty when it names none.
    let host: String

    /// Whether the client means this host.
    ///
    /// A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding), and a browser would then let it
    /// read what is answered; but the browser says that name.
    var meansThisHost: Bool {
        if host.isEmpty || host == "localhost" { return true }
        let address = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        return IPAddress(address)?.isLoopback ?? false
    }
}

/// What the admin address answers.
struct AdminAnswer {
    var status = 200
    var contentType = "text/plain; charset=utf-8"
    /// Further fields, each with its line end.
    var fields = ""
    var body: String
}

/// One client of the admin address: one request, one answer, close; or one request, and events until either side ends.
final class AdminConnection {
    enum Reply {
        case answer(AdminAnswer)
        /// The first event.
        case events([UInt8])
    }

    private enum Phase { case asking, answered, listening }

    private let token: Token
    private var transport: Transport
    private var parser = RequestParser(limit: 8192)
    private var head = RequestHead()
    private var phase = Phase.asking
    /// When it has to have taken what waits, in monotonic milliseconds.
    private(set) var deadline: UInt64

    /// Whether it has not asked anything yet, or not to the end.
    var isAsking: Bool { phase == .asking }

    /// Whether it has asked for events.
    var isListening: Bool { phase == .listening }

    init(_ token: Token, _ descriptor: consuming FileDescriptor, _ pool: BufferPool, deadline: UInt64) {
        self.token = token
        self.deadline = deadline
        transport = Transport(token: token, descriptor: descriptor, tls: nil, pool: pool, interest: .read)
    }

    /// Goes on; true when the connection is done with.
    func ready(_ poller: Poller, reply: (AdminRequest) -> Reply) -> Bool {
        do {
            if phase != .answered {
                if case .ended = try transport.fill() { return true }
                if phase == .asking { try read(reply) } else { transport.consume(transport.inbound.count) }
            }
            return try write(poller)
        } catch { return true }
    }

    /// Sends an event; one that has not taken the last yet misses this one, since each tells all.
    ///
    /// - Returns: true when the connection is done with.
    func tell(_ event: [UInt8], deadline: UInt64, _ poller: Poller) -> Bool {
        guard transport.outbound.isEmpty else { return false }
        self.deadline = deadline
        transport.outbound.append(event.span)
        do { return try write(poller) } catch { return true }
    }

    private func write(_ poller: Poller) throws -> Bool {
        let isWritten = try transport.flush()
        transport.updateInterest(reading: phase != .answered, poller: poller)
        return phase == .answered && isWritten
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }

    private func read(_ reply: (AdminRequest) -> Reply) throws {
        do {
            guard try parser.parse(transport.inbound.bytes, into: &head) != nil else { return }
        } catch { return send(AdminAnswer(status: error.status, body: "\(error.reason)\n")) }
        transport.consume(transport.inbound.count)
        let request = AdminRequest(path: Self.text(head.path), host: Self.text(head.hostName).lowercased())
        guard request.meansThisHost else {
            let body = "this is for 127.0.0.1, [::1] and localhost, whatever leads here\n"
            return send(AdminAnswer(status: 421, body: body))
        }
        guard head.method == .get || head.method == .head else {
            return send(AdminAnswer(status: 405, body: "GET only\n"))
        }
        switch reply(request) {
        case .answer(let answer): send(answer)
        case .events(let first):
            phase = head.method == .head ? .answered : .listening
            let head = Self.head(AdminAnswer(contentType: "text/event-stream", body: ""), length: nil)
            append(head + (phase == .listening ? "retry: 2000\n\n" : ""))
            if phase == .listening { transport.outbound.append(first.span) }
        }
    }

    private func send(_ answer: AdminAnswer) {
        phase = .answered
        append(Self.head(answer, length: answer.body.utf8.count))
        if head.method != .head { append(answer.body) }
    }

    private func append(_ text: String) {
        let bytes = Array(text.utf8)
        transport.outbound.append(bytes.span)
    }

    private static func head(_ answer: AdminAnswer, length: Int?) -> String {
        "HTTP/1.1 \(answer.status) \(answer.status == 200 ? "OK" : "Refused")\r\n"
            + "Content-Type: \(answer.contentType)\r\n" + (length.map { "Content-Length: \($0)\r\n" } ?? "")
            + "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            + "Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n\(answer.fields)\r\n"
    }
}
