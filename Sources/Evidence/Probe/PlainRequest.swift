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

/// One GET of `/`, in HTTP/1.1.
public struct ProbeRequest {
    private static let longestHead = 65_536
    private let host: String

    /// A request for this host.
    public init(host: String) { self.host = host }

    /// Asks, and reads the head of the answer.
    ///
    /// - Returns: nil when the server closed instead of answering, or said something that is not HTTP.
    /// - Throws: `ProbeFailure` when no answer comes in time.
    public func ask(_ connection: ProbeConnection) throws -> ProbedResponse? {
        let text =
            "GET / HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: everyhop-audit\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        do { try connection.send(Array(text.utf8)) } catch is Errno { return nil }
        var parser = ResponseParser(limit: Self.longestHead)
        var head = ResponseHead()
        var received: [UInt8] = []
        while received.count <= Self.longestHead {
            let more: [UInt8]
            do { more = try connection.receive() } catch is Errno { return nil }
            if more.isEmpty { return nil }
            received += more
            while true {
                let size: Int?
                do throws(ResponseError) {
                    size = try parser.parse(received.span, into: &head, requestMethod: .get)
                } catch { return nil }
                guard let size else { break }
                guard head.isInformational else { return Self.response(head) }
                received.removeFirst(size)
                parser.reset()
            }
        }
        return nil
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
