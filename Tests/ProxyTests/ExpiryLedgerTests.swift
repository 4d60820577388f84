import TLS
import Testing

@testable import Proxy

@Suite("Warnings before the end") struct ExpiryLedgerTests {
    private static let day: Int64 = 86_400
    private let item: ExpiringItem

    init() throws {
        let made = try CertificateMaker.selfSigned(names: ["a.example.org"], days: 397)
        item = ExpiringItem(.certificate, "portal", try CertificateFacts.read(pem: made.certificatePEM)[0])
    }

    @Test func `each threshold is told once`() {
        var ledger = ExpiryLedger()
        var told: [(left: Int64, threshold: Int64?)] = []
        for left in stride(from: Int64(40), through: -3, by: -1) {
            let now = item.notAfter - left * Self.day + 1
            // Looking twice, as after a reload, says nothing more.
            for _ in 0..<2 where !ledger.due([item], now: now).isEmpty { told.append((left, item.threshold(now: now))) }
        }
        #expect(told.map(\.left) == [30, 14, 7, 1, 0])
        #expect(told.map(\.threshold) == [30, 14, 7, 1, 0])
    }

    @Test func `after a long time without a look, the nearest is told alone`() {
        var ledger = ExpiryLedger()
        #expect(ledger.due([item, item], now: item.notAfter - 5 * Self.day) == [item])
        #expect(ledger.due([item], now: item.notAfter - 4 * Self.day).isEmpty)
        // Renewed, and the next one comes to its end: that is told again.
        #expect(ledger.due([], now: item.notAfter).isEmpty)
        #expect(ledger.due([item], now: item.notAfter - 4 * Self.day) == [item])
    }

    @Test(arguments: [(6, 1, [1, 0]), (2, 1, [0]), (47, 20, [14, 7, 1, 0]), (90, 89, [30, 14, 7, 1, 0])])
    func `what is renewed every few days is not told of every few days`(_ life: Int, _ from: Int, _ expected: [Int64]) {
        var short = item
        short.notBefore = item.notAfter - Int64(life) * Self.day
        var seen: [Int64] = []
        for hour in stride(from: from * 24, through: -1, by: -1) {
            guard let threshold = short.threshold(now: item.notAfter - Int64(hour) * 3600 + 1) else { continue }
            if seen.last != threshold { seen.append(threshold) }
        }
        #expect(seen == expected)
    }

    @Test func `the next threshold is known to the second`() {
        var now = item.notAfter - 40 * Self.day
        for days: Int64 in [30, 14, 7, 1, 0] {
            let next = item.nextChange(now: now)
            #expect(next == item.notAfter - days * Self.day + 1)
            now = next ?? now
            #expect(item.threshold(now: now) == days && item.threshold(now: now - 1) != days)
        }
        #expect(item.nextChange(now: now) == nil)
        var short = item
        short.notBefore = item.notAfter - 6
        #expect(short.nextChange(now: item.notAfter - 5) == item.notAfter + 1)
    }

    @Test func `days are whole ones`() {
        #expect(item.days(now: item.notAfter - 3 * Self.day - 5) == 3)
        #expect(item.days(now: item.notAfter) == 0)
        #expect(item.days(now: item.notAfter + 1) == -1)
        #expect(item.days(now: item.notAfter + Self.day + 1) == -2)
    }

    @Test func `metrics tell each once`() throws {
        let text = ExpiryMetrics.write([item, item], now: item.notAfter - 3 * Self.day)
        let labels =
            "{role=\"certificate\",certificate=\"portal\",subject=\"CN = a.example.org\","
            + "fingerprint=\"\(item.fingerprint.prefix(16))\"}"
        #expect(text.contains("\neveryhop_certificate_not_after_seconds\(labels) \(item.notAfter)\n"))
        #expect(text.contains("\neveryhop_certificate_expires_in_days\(labels) 3\n"))
        #expect(text.components(separatedBy: labels).count == 3)
        var writer = WireWriter()
        item.put(to: &writer)
        var reader = WireReader(writer.bytes)
        var expected = item
        expected.notBefore = nil
        #expect(try ExpiringItem(from: &reader) == expected)
    }
}

extension String {
    fileprivate func components(separatedBy text: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let range = rest.ranges(of: text).first {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}
