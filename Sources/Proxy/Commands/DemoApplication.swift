import Bytes
import HTTP
import Platform
import TLS

/// The application of the demonstration: an HTTPS server of the legacy kind, which tells what reached it.
final class DemoApplication {
    private enum Handler {
        case listener
        case client(Client)
    }

    private final class Client {
        var transport: Transport
        var parser = RequestParser(limit: 65_536)
        var head = RequestHead()
        var isReady = false
        var isFinished = false

        init(_ transport: consuming Transport) { self.transport = transport }
    }

    private let poller: Poller
    private let listener: FileDescriptor
    private let table: ServerNameTable
    private let buffers = BufferPool()
    private var handlers = Slab<Handler>()

    init(listener: consuming FileDescriptor, identity: ServerIdentity) throws {
        poller = try Poller()
        table = try ServerNameTable(policy: .nist80052r2)
        table.add(
            try ServerContext(
                identities: [identity],
                policy: .nist80052r2,
                alpn: ["http/1.1"],
                tickets: TicketKeys(),
                tag: 0
            ),
            host: nil
        )
        self.listener = consume listener
        try poller.add(self.listener, handlers.insert(.listener), .read)
    }

    /// Serves until the process ends.
    func run() throws {
        while true {
            let count = try poller.wait(milliseconds: -1)
            for index in 0..<count {
                let token = poller.event(at: index).token
                switch handlers[token] {
                case .listener: try accept()
                case .client(let client):
                    if !serve(client) { handlers.remove(token) }
                case nil: break
                }
            }
        }
    }

    private func accept() throws {
        while let accepted = try Socket.accept(from: listener) {
            let token = handlers.reserve()
            let descriptor = accepted.takeDescriptor()
            try poller.add(descriptor, token, .read)
            let tls = try TLSConnection(accepting: table, descriptor: descriptor.raw)
            let transport = Transport(token: token, descriptor: descriptor, tls: tls, pool: buffers, interest: .read)
            handlers.fill(token, .client(Client(transport)))
        }
    }

    /// Goes on with a client; false when it is done with.
    private func serve(_ client: Client) -> Bool {
        do {
            if !client.isReady {
                client.isReady = try client.transport.handshake()
                guard client.isReady else {
                    client.transport.updateInterest(reading: true, poller: poller)
                    return true
                }
            }
            repeat {
                switch try client.transport.fill() {
                case .bytes: try answerAll(client)
                case .nothing: break
                case .ended: return false
                }
            } while client.transport.holdsMore && !client.isFinished
            let isWritten = try client.transport.flush()
            client.transport.updateInterest(reading: !client.isFinished, poller: poller)
            return !(client.isFinished && isWritten)
        } catch { return false }
    }

    private func answerAll(_ client: Client) throws {
        while !client.transport.inbound.isEmpty, !client.isFinished {
            guard try client.transport.take(&client.head, by: &client.parser) != nil else { return }
            client.parser.reset()
            // A body is not read: what follows it would be taken for a request.
            client.isFinished = client.head.framing != .none || !client.head.keepAlive
            answer(client)
        }
    }

    private func answer(_ client: Client) {
        var body = "This is the legacy application. What reached it:\n\n"
        body += Self.text(client.head.methodBytes) + " " + Self.text(client.head.target) + "\n"
        for index in 0..<client.head.fields.count {
            body += "\(Self.text(client.head.fields.name(index))): \(Self.text(client.head.fields.value(index)))\n"
        }
        if let facts = client.transport.facts {
            body += "\nIts own hop: \(facts.version), \(facts.cipher), name \(facts.serverName ?? "-")\n"
        }
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \(body.utf8.count)\r\n"
            + (client.isFinished ? "Connection: close\r\n\r\n" : "\r\n")
        client.transport.outbound.append(Array((head + (client.head.method == .head ? "" : body)).utf8).span)
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }
}
