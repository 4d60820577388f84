/// One side of HTTP/1.1 on a connection: takes message after message apart, as simply as RFC 9112 allows.
public final class HTTP1Peer {
    private enum Phase: Equatable {
        case head
        case body(left: Int)
        case chunk
        case trailers
        case untilClose
        case whole
    }

    /// The socket.
    public let connection: Connection
    /// What has come of the message that is on its way; a request's line is in `:method` and `:path`.
    public private(set) var message = HTTP2Peer.Answer()
    /// Whether the other side has closed the connection.
    public private(set) var isClosed = false
    /// Whether the response on its way answers HEAD.
    public var answersHead = false
    private var phase = Phase.head
    private var waiting: [UInt8] = []
    private var position = 0

    /// Reads from a connection.
    public init(_ connection: Connection) { self.connection = connection }

    /// Sends a piece of a body.
    public func send(_ bytes: [UInt8], chunked: Bool) throws {
        guard chunked else { return try connection.send(bytes) }
        guard !bytes.isEmpty else { return }
        try connection.send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [13, 10])
    }

    /// Ends a body in chunks.
    public func end(trailers: [(String, String)]) throws {
        try connection.send("0\r\n" + trailers.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n")
    }

    /// Forgets the message that was read.
    public func beginMessage() {
        message = HTTP2Peer.Answer()
        phase = .head
    }

    /// Whether the head of the message has come.
    public var hasHead: Bool { phase != .head }

    /// Takes what comes until a condition holds or the connection ends.
    public func receive(until condition: (HTTP1Peer) -> Bool) throws {
        while !condition(self) {
            if try step() { continue }
            guard !isClosed, let bytes = try? connection.receive() else {
                isClosed = true
                if phase == .untilClose { end() }
                return
            }
            waiting.removeFirst(position)
            position = 0
            waiting += bytes
        }
    }

    private func end() {
        phase = .whole
        message.isWhole = true
    }

    /// Takes one step with the bytes that wait; false when it needs more.
    private func step() throws -> Bool {
        switch phase {
        case .whole: return false
        case .head:
            guard let text = take(through: "\r\n\r\n") else { return false }
            readHead(text.components(by: "\r\n").filter { !$0.isEmpty })
        case .body(let left):
            guard takeBody(left) > 0 else { return false }
        case .untilClose: return takeBody(.max) > 0
        case .chunk:
            guard let line = take(through: "\r\n") else { return false }
            let count = Int(line.trimmed, radix: 16) ?? 0
            phase = count == 0 ? .trailers : .body(left: count + 2)
        case .trailers:
            guard let line = take(through: "\r\n") else { return false }
            guard line != "\r\n" else {
                end()
                return true
            }
            message.trailers.append(Self.field(line))
        }
        return true
    }

    private var isChunked: Bool { message["transfer-encoding"] == "chunked" }

    private func takeBody(_ left: Int) -> Int {
        let count = min(left, waiting.count - position)
        message.body += waiting[position..<position + count]
        position += count
        guard left != .max else { return count }
        phase = .body(left: left - count)
        guard left == count else { return count }
        if isChunked {
            message.body.removeLast(2)
            phase = .chunk
        } else {
            end()
        }
        return count
    }

    private func readHead(_ lines: [String]) {
        let first = lines[0].split(separator: " ", maxSplits: 2).map(String.init)
        let fields = lines.dropFirst().map(Self.field)
        let isResponse = lines[0].hasPrefix("HTTP/")
        let status = isResponse ? Int(first[1]) ?? 0 : 0
        if isResponse, status < 200 {
            message.interim.append(status)
            return
        }
        message.status = status
        message.fields = (isResponse ? [] : [(":method", first[0]), (":path", first[1])]) + fields
        if isResponse, answersHead || status == 204 || status == 304 { return end() }
        if isChunked {
            phase = .chunk
        } else if let length = message["content-length"].flatMap({ Int($0) }) {
            phase = .body(left: length)
            if length == 0 { end() }
        } else if isResponse {
            phase = .untilClose
        } else {
            end()
        }
    }

    private static func field(_ line: String) -> (name: String, value: String) {
        let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
        return (parts[0].lowercased(), parts.count > 1 ? parts[1].trimmed : "")
    }

    private func take(through mark: String) -> String? {
        let end = Array(mark.utf8)
        guard waiting.count - position >= end.count else { return nil }
        for start in position...waiting.count - end.count where waiting[start...].starts(with: end) {
            defer { position = start + end.count }
            return String(decoding: waiting[position..<start + end.count], as: UTF8.self)
        }
        return nil
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }

    fileprivate func components(by separator: String) -> [String] {
        split(separator: separator, omittingEmptySubsequences: true).map(String.init)
    }
}
