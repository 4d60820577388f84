import Config
import Evidence
import HTTP
import Platform
import TLS

/// Where an authority answers questions about its certificates: an http address out of a certificate.
///
/// The answers are signed and say nothing that is secret, which is why they come in plain (RFC 6960 §A.1): with https, the
/// responder's certificate would have to be asked about first.
struct Responder: Equatable {
    let host: String
    let port: UInt16
    let path: String

    /// Whether nothing has to be looked up.
    var isNumeric: Bool { SocketAddress(ip: host, port: port) != nil }

    /// nil when the address is none of http.
    init?(_ address: String) {
        guard address.lowercased().hasPrefix("http://"), address.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return nil
        }
        let rest = address.dropFirst(7)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        path = slash == rest.endIndex ? "/" : String(rest[slash...])
        let bracket = authority.lastIndex(of: "]")
        let colon = authority.lastIndex(of: ":").flatMap { colon in bracket.map { colon > $0 } ?? true ? colon : nil }
        let name = authority[..<(colon ?? authority.endIndex)]
        host = bracket == nil ? String(name) : String(name.dropFirst().dropLast())
        guard !host.isEmpty, !host.contains("@") else { return nil }
        guard let colon else {
            port = 80
            return
        }
        guard let number = Endpoint.port(authority[authority.index(after: colon)...]) else { return nil }
        port = number
    }

    /// Asks; may wait.
    ///
    /// - Returns: what the responder answers, unverified.
    /// - Throws: `ProbeFailure`, `NameResolution.Failure` or `Errno` when nothing comes in time.
    func ask(_ request: [UInt8], milliseconds: UInt64) throws -> [UInt8] {
        let addresses = try SocketAddress(ip: host, port: port).map { [$0] } ?? NameResolution.resolve(host, port: port)
        let connection = try ProbeConnection.first(of: addresses, milliseconds: milliseconds)
        let name = host.contains(":") ? "[\(host)]" : host
        // HTTP/1.0: the answer is one piece then, never chunks.
        let head =
            "POST \(path) HTTP/1.0\r\nHost: \(name)\(port == 80 ? "" : ":\(port)")\r\nUser-Agent: everyhop\r\n"
            + "Content-Type: application/ocsp-request\r\nContent-Length: \(request.count)\r\nConnection: close\r\n\r\n"
        try connection.send(Array(head.utf8) + request)
        return try Self.answer(connection)
    }

    private static func answer(_ connection: ProbeConnection) throws -> [UInt8] {
        var parser = ResponseParser(limit: 16_384)
        var head = ResponseHead()
        var received: [UInt8] = []
        var start: Int?
        while received.count <= StapleSubject.responseLimit + 16_384 {
            let more = try connection.receive()
            received += more
            if start == nil {
                do throws(ResponseError) {
                    start = try parser.parse(received.span, into: &head, requestMethod: .post)
                } catch { throw ProbeFailure("no answer in HTTP") }
                if start != nil, head.status != 200 { throw ProbeFailure("status \(head.status)") }
            }
            if let start {
                switch head.framing {
                case .length(let length):
                    if UInt64(received.count - start) >= length {
                        return Array(received[start...].prefix(Int(clamping: length)))
                    }
                case .untilClose: if more.isEmpty { return Array(received[start...]) }
                case .none: return []
                case .chunked: throw ProbeFailure("an answer in chunks to HTTP/1.0")
                }
            }
            if more.isEmpty { throw ProbeFailure("the responder closed the connection before its answer was whole") }
        }
        throw ProbeFailure("an answer that is too long")
    }
}
