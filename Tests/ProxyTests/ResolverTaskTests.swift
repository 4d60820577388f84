import Testing

@testable import Config
@testable import Proxy

@Suite("Names of servers") struct ResolverTaskTests {
    private func configuration(_ servers: String) throws -> Configuration {
        let text = """
            [certificate.c]
            self_signed = ["x"]
            [[site]]
            name = "s"
            upstream = "a"
            [[site.binding]]
            certificate = "c"
            """ + servers
        let decoded = Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
        #expect(decoded.isUsable)
        return decoded.configuration
    }

    private func upstream(_ name: String, _ servers: String) -> String {
        "\n[[upstream]]\nname = \"\(name)\"\nservers = [\(servers)]\ntrust = { ca = \"x\" }\n"
    }

    @Test func `what is known of a name goes on into the next configuration, wherever the name stands there`() throws {
        let old = try configuration(upstream("a", "\"one.test:1\", \"two.test:1\""))
        let new = try configuration(
            upstream("b", "\"10.0.0.1:1\", \"two.test:2\", \"three.test:1\"") + upstream("a", "\"two.test:3\"")
        )
        let known = [
            AddressUpdate(upstream: 0, server: 0, addresses: ["10.0.0.1"]),
            AddressUpdate(upstream: 0, server: 1, addresses: ["10.0.0.2"]),
        ]
        #expect(
            ResolverTask.carry(known, from: old, to: new) == [
                AddressUpdate(upstream: 0, server: 1, addresses: ["10.0.0.2"]),
                AddressUpdate(upstream: 1, server: 0, addresses: ["10.0.0.2"]),
            ]
        )
    }

    @Test func `a name that cannot be resolved is told of at once, and then once a minute`() {
        var complaint = ResolverTask.Complaint()
        let told = [(0, "a"), (5000, "a"), (10_000, "b"), (69_999, "b"), (70_000, "b")].map { now, text in
            complaint.shouldTell(text, now: now)
        }
        #expect(told == [true, false, true, false, true])
    }
}
