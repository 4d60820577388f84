import Config
import TLS

/// What a sticky cookie holds for each server of an upstream: an authentication code of the server's address, which
/// tells a client nothing and which no client can make.
///
/// Every worker and every generation makes the same from the same secret, whatever the order of the servers.
struct StickyTokens {
    /// Characters of a token: 128 bits.
    static let length = 32

    /// By secret, the current one first, then by server.
    private let tokens: [[[UInt8]]]
    /// The field line that hands a server's cookie to a client.
    private let lines: [[UInt8]]

    /// - Parameters:
    ///   - secrets: the current one first; cookies of the others are still understood.
    init(_ sticky: Upstream.Sticky, upstream: String, servers: [String], secrets: [[UInt8]]) {
        tokens = secrets.map { secret in
            servers.map { server in
                var writer = WireWriter()
                writer.put(upstream)
                writer.put(server)
                // Without a code there is no cookie, and the client is balanced.
                return (MessageCode.sha256(key: secret, writer.bytes) ?? []).prefix(Self.length / 2).flatMap(Self.hex)
            }
        }
        lines = (tokens.first ?? []).map { token in
            let site =
                switch sticky.sameSite {
                case .strict: "Strict"
                case .lax: "Lax"
                case .none: "None"
                }
            let start = Array("Set-Cookie: \(sticky.cookie.value)=".utf8)
            return start + token + Array("; Path=/; Secure; HttpOnly; SameSite=\(site)\r\n".utf8)
        }
    }

    /// Which server a cookie stands for, and whether it is of the current secret.
    func server(of value: Span<UInt8>) -> (server: Int, isCurrent: Bool)? {
        guard value.count == Self.length else { return nil }
        var found: (server: Int, isCurrent: Bool)?
        for (age, list) in tokens.enumerated() {
            for (server, token) in list.enumerated() where found == nil && Self.equal(token, value) {
                found = (server, age == 0)
            }
        }
        return found
    }

    /// The line that makes a client stay at a server.
    func line(for server: Int) -> [UInt8]? { lines.indices.contains(server) ? lines[server] : nil }

    /// Takes as long for any difference.
    private static func equal(_ token: [UInt8], _ value: Span<UInt8>) -> Bool {
        guard token.count == value.count else { return false }
        var difference: UInt8 = 0
        for index in token.indices { difference |= token[index] ^ value[index] }
        return difference == 0
    }

    private static func hex(_ byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
}
