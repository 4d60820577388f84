internal import Bytes
internal import HTTP
internal import Platform

/// The head of an answer to one GET.
public struct ProbedResponse: Sendable {
    /// RFC 9110 §15.
    public let status: Int
    /// The fields, names in small letters.
    public let fields: [(name: String, value: String)]

    /// The first value of a field; the name in small letters.
    public func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
}

/// What comes back to a request.
public enum ProbedAnswer: Sendable {
    /// An answer in HTTP.
    case response(ProbedResponse)
    /// The connection was closed without a word, or with an alert of TLS.
    case refusal(String)
    /// Something that cannot be read as HTTP, though it may be meant so.
    case unreadable(String)
}

/// One GET, in HTTP/1.1.
public struct ProbeRequest {
    private static let longestHead = 65_536
    private let host: String
    private let path: String

    /// A request for this host.
    public init(host: String, path: String = "/") {
        self.host = host
        self.path = path
    }

    /// Asks, and reads the head of the answer.
    ///
    /// - Throws: `ProbeFailure` when no answer comes in time.
    public func ask(_ connection: ProbeConnection) throws -> ProbedAnswer {
        let text =
            "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: everyhop-audit\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        do { try connection.send(Array(text.utf8)) } catch is Errno { return .refusal("the connection was reset") }
        var parser = ResponseParser(limit: Self.longestHead)
        var head = ResponseHead()
        var received: [UInt8] = []
        while received.count <= Self.longestHead {
            let more: [UInt8]
            do { more = try connection.receive() } catch is Errno { more = [] }
            if more.isEmpty { return Self.rest(received) }
            received += more
            while true {
                let size: Int?
                do throws(ResponseError) {
                    size = try parser.parse(received.span, into: &head, requestMethod: .get)
                } catch { return Self.rest(received) }
                guard let size else { break }
                guard head.isInformational else { return .response(Self.response(head)) }
                received.removeFirst(size)
                parser.reset()
            }
        }
        return .unreadable("an answer without end")
    }

    /// What is no head of HTTP.
    private static func rest(_ received: [UInt8]) -> ProbedAnswer {
        if received.isEmpty { return .refusal("the connection was closed") }
        // An alert's record (RFC 8446 §5.1).
        if received.count >= 2, received[0] == 21, received[1] == 3 { return .refusal("an alert of TLS") }
        return .unreadable(
            received.starts(with: Array("HTTP/".utf8)) ? "an answer in HTTP that breaks its rules" : "no answer in HTTP"
        )
    }

    private static func response(_ head: borrowing ResponseHead) -> ProbedResponse {
        var fields: [(name: String, value: String)] = []
        for index in 0..<head.fields.count {
            fields.append((text(head.fields.name(index)).lowercased(), text(head.fields.value(index))))
        }
        return ProbedResponse(status: head.status, fields: fields)
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }
}
