import Testing

@testable import Proxy

@Suite("Rows of checks") struct CheckedHealthTests {
    private func states(_ results: String, isUp: Bool?) -> String {
        var health = CheckedHealth(rise: 2, fall: 3, isUp: isUp)
        return results.reduce(into: "") { text, result in
            let changed = health.record(passed: result == "+")
            text += changed ? (health.isUp == true ? "U" : "D") : "."
        }
    }

    @Test(arguments: [
        ("+", "U"), ("-", "D"), ("+--+---", "U.....D"), ("-+-++", "D...U"), ("+---++---", "U..D.U..D"),
        ("+--+--+--", "U........"),
    ])
    func `the first check decides, then rise and fall`(_ results: String, _ states: String) {
        #expect(self.states(results, isUp: nil) == states)
    }

    @Test func `what was known before holds until a row speaks against it`() {
        #expect(states("--+---", isUp: true) == ".....D")
        #expect(states("-+++", isUp: false) == "..U.")
    }

    @Test func `the master's word comes back from its encoding`() throws {
        let update = HealthUpdate(upstream: "a", server: "10.0.0.1:443", isUp: false, reason: "status 500")
        let bytes = update.encoded()
        #expect(try HealthUpdate(decoding: bytes) == update)
        for count in 0..<bytes.count {
            #expect(throws: WireReader.Malformed.self) { try HealthUpdate(decoding: Array(bytes[..<count])) }
        }
    }
}
