import Foundation
import Support

extension Connection {
    /// Whether a request over this connection, which stays, is answered with that status.
    func answers(_ status: Int, _ path: String = "/") throws -> Bool {
        try send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return try receivesAnswer(status)
    }

    /// Whether what has been asked is answered with that status.
    func receivesAnswer(_ status: Int) throws -> Bool {
        let parts = try receive(until: "\r\n\r\n").components(separatedBy: "\r\n\r\n")
        let length =
            parts[0].components(separatedBy: "Content-Length: ").dropFirst().first?.prefix { $0.isNumber } ?? ""
        var missing = (Int(length) ?? 0) - parts.dropFirst().joined(separator: "\r\n\r\n").utf8.count
        while missing > 0, let more = try receive() { missing -= more.count }
        return parts[0].hasPrefix("HTTP/1.1 \(status) ")
    }
}
