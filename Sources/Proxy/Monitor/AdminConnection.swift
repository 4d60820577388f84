import Bytes
import HTTP
import Platform

/// The admin address's socket.
final class AdminListener {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = consume descriptor }
}

/// One client of the admin address: one request, one answer, close.
final class AdminConnection {
    struct Answer {
        let status: Int
        let contentType: String
        let body: String
    }

    private let token: Token
    private var transport: Transport
    private var parser = RequestParser(limit: 8192)
    private var head = RequestHead()
    private var isAnswered = false

    init(_ token: Token, _ descriptor: consuming FileDescriptor, _ pool: BufferPool) {
        self.token = token
        transport = Transport(token: token, descriptor: descriptor, tls: nil, pool: pool, interest: .read)
    }

    /// Goes on; true when the connection is done with.
    func ready(_ poller: Poller, answer: (String) -> Answer) -> Bool {
        do {
            if !isAnswered {
                if case .ended = try transport.fill() { return true }
                try read(answer)
            }
            let isWritten = try transport.flush()
            transport.updateInterest(reading: !isAnswered, poller: poller)
            return isAnswered && isWritten
        } catch { return true }
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }

    private func read(_ answer: (String) -> Answer) throws {
        let answered: Answer
        do {
            guard try parser.parse(transport.inbound.bytes, into: &head) != nil else { return }
            answered =
                head.method == .get || head.method == .head
                ? answer(Self.text(head.path)) : Answer(status: 405, contentType: "text/plain", body: "GET only\n")
        } catch {
            answered = Answer(status: error.status, contentType: "text/plain", body: "\(error.reason)\n")
        }
        isAnswered = true
        let text =
            "HTTP/1.1 \(answered.status) \(answered.status == 200 ? "OK" : "Refused")\r\n"
            + "Content-Type: \(answered.contentType)\r\nContent-Length: \(answered.body.utf8.count)\r\n"
            + "Connection: close\r\nCache-Control: no-store\r\n\r\n" + (head.method == .head ? "" : answered.body)
        let bytes = Array(text.utf8)
        transport.outbound.append(bytes.span)
    }
}
