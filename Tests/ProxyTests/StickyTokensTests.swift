import Testing

@testable import Config
@testable import Proxy

@Suite("Sticky cookies") struct StickyTokensTests {
    private let servers = ["10.0.0.1:443", "10.0.0.2:443", "unix:/run/app"]
    private let secret = [UInt8](repeating: 7, count: 32)

    private func tokens(
        _ secrets: [[UInt8]],
        servers: [String]? = nil,
        upstream: String = "app",
        sticky: Upstream.Sticky = Upstream.Sticky()
    ) -> StickyTokens {
        StickyTokens(sticky, upstream: upstream, servers: servers ?? self.servers, secrets: secrets)
    }

    private func value(_ tokens: StickyTokens, _ server: Int) -> [UInt8] {
        let line = String(decoding: tokens.line(for: server) ?? [], as: UTF8.self)
        return Array(line.drop { $0 != "=" }.dropFirst().prefix { $0 != ";" }.utf8)
    }

    private func find(_ tokens: StickyTokens, _ value: [UInt8]) -> Int? { tokens.server(of: value.span)?.server }

    @Test func `each server has a cookie of its own, which says nothing about it`() {
        let tokens = tokens([secret])
        let values = servers.indices.map { value(tokens, $0) }
        #expect(Set(values).count == 3)
        for (server, value) in values.enumerated() {
            #expect(value.count == StickyTokens.length && find(tokens, value) == server)
        }
        let line = String(decoding: tokens.line(for: 0) ?? [], as: UTF8.self)
        #expect(line.hasPrefix("Set-Cookie: everyhop=") && !line.contains("10.0"))
        #expect(line.hasSuffix("; Path=/; Secure; HttpOnly; SameSite=Lax\r\n"))
        #expect(tokens.line(for: 3) == nil)
    }

    @Test func `the order of the servers does not matter, the secret and the upstream do`() {
        let first = tokens([secret])
        let turned = tokens([secret], servers: servers.reversed())
        #expect(find(turned, value(first, 0)) == 2)
        #expect(find(tokens([[UInt8](repeating: 8, count: 32)]), value(first, 0)) == nil)
        #expect(find(tokens([secret], upstream: "other"), value(first, 0)) == nil)
        #expect(find(tokens([secret], servers: ["10.0.0.9:443"]), value(first, 0)) == nil)
    }

    @Test func `cookies of older secrets are understood and renewed`() {
        let old = tokens([secret])
        let new = tokens([[1], secret])
        let found = new.server(of: value(old, 1).span)
        #expect(found?.server == 1 && found?.isCurrent == false)
        #expect(new.server(of: value(new, 1).span)?.isCurrent == true)
        #expect(value(old, 1) != value(new, 1))
    }

    @Test func `what a client makes up stands for no server`() {
        let tokens = tokens([secret])
        let good = value(tokens, 0)
        for index in good.indices {
            var forged = good
            forged[index] ^= 1
            #expect(find(tokens, forged) == nil)
        }
        #expect(find(tokens, []) == nil && find(tokens, Array(good.dropLast())) == nil)
        #expect(find(tokens, good + [0x30]) == nil && find(tokens, Array("10.0.0.1:443".utf8)) == nil)
        #expect(find(self.tokens([]), good) == nil && self.tokens([]).line(for: 0) == nil)
    }
}
