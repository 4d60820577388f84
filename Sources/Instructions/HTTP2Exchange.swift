import Bytes
import HTTP
import HTTP2

/// A request and an answer of 1 KiB between two sessions: HPACK, frames, windows and both heads, at both ends.
final class HTTP2Exchange: Part {
    private let client: HTTP2Session
    private let server: HTTP2Session
    private var fromClient: ByteQueue
    private var fromServer: ByteQueue
    private var request: ByteQueue
    private var answer: ByteQueue
    private var head = RequestHead()
    private let body = [UInt8](repeating: 0x61, count: 1024)
    private var now: UInt64 = 1

    init() {
        let pool = BufferPool()
        guard let client = try? HTTP2Session(.client, limits: HTTP2Limits(), pool: pool),
            let server = try? HTTP2Session(.server, limits: HTTP2Limits(), pool: pool)
        else { stop("no session") }
        self.client = client
        self.server = server
        fromClient = ByteQueue(pool: pool)
        fromServer = ByteQueue(pool: pool)
        request = ByteQueue(pool: pool)
        answer = ByteQueue(pool: pool)
        super.init("HTTP/2 exchange, both ends")
        RequestWriter.write(Sample.head(), Sample.context(rewrites: false), into: &request)
        let response = Sample.response
        answer.append(response.span)
        deliver()
        deliver()
    }

    override func once() {
        // Budgets against abuse are by time.
        now += 1000
        require(client.request(head: request, endsStream: true) != nil, "a request in HTTP/2")
        deliver()
        for case .head(let stream) in server.takeEvents() {
            let isGood: Void? = try? stream.takeFields { fields throws(RequestError) in
                try head.assemble(from: &fields, endsStream: true)
            }
            require(isGood != nil, "a head in HTTP/2")
            try? server.respond(stream, head: answer, bytes: answer.count, endsStream: false)
            let body = body
            stream.send(body.span)
            server.end(stream)
        }
        deliver()
        for event in server.takeEvents() { if case .closed(let stream, _) = event { server.recycle(stream) } }
        var received = 0
        client.forEachReady { stream in
            let count = stream.inbound.count
            received += count
            stream.inbound.consume(count)
            client.took(count, from: stream)
            return false
        }
        for event in client.takeEvents() { if case .closed(let stream, _) = event { client.recycle(stream) } }
        require(received == body.count, "an answer in HTTP/2")
    }

    /// Everything that is due reaches the other end.
    private func deliver() {
        try? client.send(into: &fromClient, upTo: 65_536)
        _ = try? server.receive(fromClient.bytes, now: now)
        fromClient.removeAll()
        try? server.send(into: &fromServer, upTo: 65_536)
        _ = try? client.receive(fromServer.bytes, now: now)
        fromServer.removeAll()
    }
}
