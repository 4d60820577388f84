import Testing

@testable import Config
@testable import Proxy

@Suite("Balancing") struct BalancerTests {
    /// A balancer as the configuration makes it.
    private func balancer(_ servers: String, _ more: String = "") throws -> Balancer {
        let text =
            "[[upstream]]\nname = \"a\"\ntrust = { ca = \"x\" }\nservers = [\(servers)]\n\(more)\n"
            + "[certificate.c]\nself_signed = [\"x\"]\n[[site]]\nname = \"s\"\nupstream = \"a\"\n"
            + "[[site.binding]]\ncertificate = \"c\"\n"
        let decoded = Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        return Balancer(try #require(decoded.configuration.upstreams.first))
    }

    private static let three = "\"10.0.0.1:443\", \"10.0.0.2:443\", \"10.0.0.3:443\""
    private static let ejection = Upstream.Ejection()

    /// How often each server is chosen when every exchange ends before the next begins.
    private func shares(_ balancer: inout Balancer, _ turns: Int, now: UInt64 = 0) -> [Int] {
        var shares = [Int](repeating: 0, count: balancer.servers.count)
        for _ in 0..<turns {
            if case .server(let index) = balancer.choose(Balancer.Wish(), now: now) { shares[index] += 1 }
        }
        return shares
    }

    @Test(arguments: ["round-robin", "least-connections"])
    func `idle servers get turns by their weights, evenly spread`(_ balance: String) throws {
        var balancer = try balancer(
            "{ address = \"10.0.0.1:443\", weight = 5 }, \"10.0.0.2:443\", { address = \"10.0.0.3:443\", weight = 2 }",
            "balance = \"\(balance)\""
        )
        #expect(shares(&balancer, 8) == [5, 1, 2])
        #expect(shares(&balancer, 800) == [500, 100, 200])
        var longest = 0
        var run = 0
        for _ in 0..<80 {
            run = balancer.choose(Balancer.Wish(), now: 0) == .server(0) ? run + 1 : 0
            longest = max(longest, run)
        }
        #expect(longest <= 3)
    }

    @Test func `the least busy server for its weight is chosen`() throws {
        var balancer = try balancer(
            "{ address = \"10.0.0.1:443\", weight = 3 }, \"10.0.0.2:443\"",
            "balance = \"least-connections\""
        )
        for _ in 0..<400 {
            guard case .server(let index) = balancer.choose(Balancer.Wish(), now: 0) else { return }
            balancer.servers[index].active += 1
        }
        #expect(balancer.servers.map(\.active) == [300, 100])
        balancer.servers[1].active = 0
        #expect(balancer.choose(Balancer.Wish(), now: 0) == .server(1))
    }

    @Test func `a hash stays where it is when another server goes, and comes back with it`() throws {
        var balancer = try balancer(Self.three, "balance = \"hash\"\nhash = \"path\"")
        func places(_ balancer: inout Balancer) -> [Int] {
            (0..<3000).map { key in
                let wish = Balancer.Wish(hash: Hash.bytes("/page/\(key)".utf8))
                if case .server(let index) = balancer.choose(wish, now: 0) { return index }
                return -1
            }
        }
        let before = places(&balancer)
        for index in 0..<3 { #expect((900...1100).contains(before.count { $0 == index })) }
        balancer.servers[1].health.checked(isUp: false, now: 0)
        let without = places(&balancer)
        for (old, new) in zip(before, without) { #expect(old == 1 ? new != 1 && new >= 0 : new == old) }
        let moved = zip(before, without).filter { $0.0 == 1 }
        #expect((400...600).contains(moved.count { $0.1 == 0 } * 1000 / moved.count))
        balancer.servers[1].health.checked(isUp: true, now: 0)
        #expect(places(&balancer) == before)
    }

    @Test func `a hash does not depend on the order of the servers, and follows weights`() throws {
        var one = try balancer(Self.three, "balance = \"hash\"\nhash = \"client\"")
        var other = try balancer(
            "\"10.0.0.3:443\", \"10.0.0.1:443\", \"10.0.0.2:443\"",
            "balance = \"hash\"\nhash = \"client\""
        )
        var heavy = try balancer(
            "\"10.0.0.1:443\", \"10.0.0.2:443\", { address = \"10.0.0.3:443\", weight = 4 }",
            "balance = \"hash\"\nhash = \"client\""
        )
        var atHeavy = 0
        for key in 0..<3000 {
            let wish = Balancer.Wish(hash: Hash.bytes("10.1.\(key / 256).\(key % 256)".utf8))
            let place = one.choose(wish, now: 0)
            let places: [Balancer.Choice] = [.server(1), .server(2), .server(0)]
            if case .server(let index) = place { #expect(other.choose(wish, now: 0) == places[index]) }
            let weighted = heavy.choose(wish, now: 0)
            // A larger weight takes keys from others, and moves none between them.
            if weighted == .server(2) { atHeavy += 1 } else { #expect(weighted == place) }
        }
        #expect((1900...2100).contains(atHeavy))
    }

    @Test func `without anything to hash the least busy one is chosen`() throws {
        var balancer = try balancer(Self.three, "balance = \"hash\"\nhash = \"cookie:x\"")
        #expect(shares(&balancer, 300) == [100, 100, 100])
    }

    @Test func `a hash whose server is full goes to the next best`() throws {
        var balancer = try balancer(
            "{ address = \"10.0.0.1:443\", maximum_connections = 1 }, { address = \"10.0.0.2:443\", maximum_connections = 1 }",
            "balance = \"hash\"\nhash = \"path\""
        )
        let wish = Balancer.Wish(hash: 7)
        guard case .server(let first) = balancer.choose(wish, now: 0) else { return }
        balancer.servers[first].active = 1
        #expect(balancer.choose(wish, now: 0) == .server(1 - first))
        balancer.servers[1 - first].active = 1
        #expect(balancer.choose(wish, now: 0) == .full(nil))
    }

    @Test func `a backup serves only while no other server can`() throws {
        var balancer = try balancer(
            "\"10.0.0.1:443\", { address = \"10.0.0.2:443\", maximum_connections = 1 }, { address = \"10.0.0.3:443\", backup = true }"
        )
        #expect(shares(&balancer, 100) == [50, 50, 0])
        balancer.servers[0].health.checked(isUp: false, now: 0)
        #expect(shares(&balancer, 100) == [0, 100, 0])
        // Busy is not down.
        balancer.servers[1].active = 1
        #expect(balancer.choose(Balancer.Wish(), now: 0) == .full(nil))
        balancer.servers[1].active = 0
        #expect(balancer.servers[1].health.failed(unreachable: true, now: 0, Self.ejection) != nil)
        #expect(shares(&balancer, 100) == [0, 0, 100])
        balancer.servers[0].health.checked(isUp: true, now: 0)
        #expect(shares(&balancer, 100) == [100, 0, 0])
    }

    @Test func `an ejected server is better than none, one that checks call down is not`() throws {
        var balancer = try balancer("\"10.0.0.1:443\", { address = \"10.0.0.2:443\", backup = true }")
        _ = balancer.servers[0].health.failed(unreachable: true, now: 0, Self.ejection)
        balancer.servers[1].health.checked(isUp: false, now: 0)
        #expect(balancer.choose(Balancer.Wish(), now: 1) == .server(0))
        balancer.servers[0].health.checked(isUp: false, now: 1)
        #expect(balancer.choose(Balancer.Wish(), now: 2) == .none)
        #expect(!balancer.hasUsable(now: 2))
    }

    @Test func `what was tried, has no address or is in maintenance is not chosen`() throws {
        var balancer = try balancer("\"a:443\", \"b:443\", { address = \"c:443\", maintenance = true }")
        #expect(shares(&balancer, 100) == [50, 50, 0])
        #expect(balancer.choose(Balancer.Wish(tried: 1), now: 0) == .server(1))
        balancer.servers[1].isResolved = false
        #expect(balancer.choose(Balancer.Wish(tried: 1), now: 0) == .none)
        #expect(balancer.choose(Balancer.Wish(), now: 0) == .server(0))
    }

    @Test func `a session stays at its server, in maintenance too, until that is down`() throws {
        var balancer = try balancer("\"a:443\", { address = \"b:443\", maintenance = true, maximum_connections = 2 }")
        let wish = Balancer.Wish(sticky: 1)
        #expect(balancer.choose(wish, now: 0) == .server(1))
        balancer.servers[1].active = 2
        #expect(balancer.choose(wish, now: 0) == .full(1))
        balancer.servers[1].active = 0
        _ = balancer.servers[1].health.failed(unreachable: true, now: 0, Self.ejection)
        #expect(balancer.choose(wish, now: 0) == .server(0))
        #expect(balancer.choose(wish, now: Self.ejection.time) == .server(1))
        #expect(balancer.choose(Balancer.Wish(tried: 2, sticky: 1), now: Self.ejection.time) == .server(0))
        #expect(balancer.choose(Balancer.Wish(sticky: 9), now: 0) == .server(0))
    }

    @Test func `the limit of the upstream holds for all servers together`() throws {
        var balancer = try balancer(Self.three, "maximum_connections = 4")
        for _ in 0..<4 {
            guard case .server(let index) = balancer.choose(Balancer.Wish(), now: 0) else { return }
            balancer.servers[index].active += 1
        }
        #expect(balancer.choose(Balancer.Wish(), now: 0) == .full(nil))
        #expect(balancer.servers.map(\.active).sorted() == [1, 1, 2])
        balancer.servers[2].active = 0
        #expect(balancer.choose(Balancer.Wish(), now: 0) == .server(2))
    }

    @Test func `a server that comes back gets its share little by little`() throws {
        var balancer = try balancer(
            "\"10.0.0.1:443\", \"10.0.0.2:443\"",
            "balance = \"round-robin\"\nslow_start = \"10s\""
        )
        #expect(shares(&balancer, 100) == [50, 50])
        balancer.servers[1].health.checked(isUp: false, now: 1000)
        #expect(shares(&balancer, 100, now: 1000) == [100, 0])
        balancer.servers[1].health.checked(isUp: true, now: 2000)
        var last = 0
        for (now, least, most) in [(2000, 1, 10), (4500, 15, 25), (7000, 28, 38), (11_000, 42, 50), (12_000, 49, 51)] {
            let share = shares(&balancer, 100, now: UInt64(now))[1]
            #expect((least...most).contains(share), "\(share) at \(now)")
            #expect(share >= last)
            last = share
        }
    }

    @Test func `slow start takes a hash's keys back little by little and moves no others`() throws {
        var balancer = try balancer(Self.three, "balance = \"hash\"\nhash = \"path\"\nslow_start = \"10s\"")
        func places(_ now: UInt64) -> [Balancer.Choice] {
            (0..<1000).map { balancer.choose(Balancer.Wish(hash: Hash.mix(UInt64($0))), now: now) }
        }
        balancer.servers[0].health.checked(isUp: false, now: 0)
        let without = places(0)
        balancer.servers[0].health.checked(isUp: true, now: 0)
        var before = without
        for now in stride(from: UInt64(0), through: 10_000, by: 1000) {
            let after = places(now)
            for (old, new) in zip(before, after) { #expect(old == new || new == .server(0)) }
            before = after
        }
        #expect((280...390).contains(before.count { $0 == .server(0) }))
    }
}

@Suite("Health of a server") struct ServerHealthTests {
    private var settings = Upstream.Ejection()

    init() {
        settings.failures = 3
        settings.time = 1000
        settings.maximumTime = 5000
    }

    @Test func `failures in a row eject, an answer between them starts over`() {
        var health = ServerHealth()
        #expect(health.failed(unreachable: false, now: 0, settings) == nil)
        #expect(health.failed(unreachable: false, now: 0, settings) == nil)
        health.answered(now: 0)
        #expect(health.failed(unreachable: false, now: 0, settings) == nil)
        #expect(health.failed(unreachable: false, now: 0, settings) == nil)
        #expect(health.failed(unreachable: false, now: 10, settings) == 1000)
        #expect(health.isEjected(1009) && !health.isEjected(1010))
    }

    @Test func `a server that cannot be reached is ejected at once`() {
        var health = ServerHealth()
        #expect(health.failed(unreachable: true, now: 0, settings) == 1000)
        // Those that were under way do not make it longer.
        #expect(health.failed(unreachable: true, now: 1, settings) == nil)
        #expect(!health.isEjected(1000))
    }

    @Test func `each ejection is twice as long until an answer or the longest time`() {
        var health = ServerHealth()
        var now: UInt64 = 0
        for expected: UInt64 in [1000, 2000, 4000, 5000, 5000] {
            #expect(health.failed(unreachable: false, now: now, settings) == (now == 0 ? nil : expected))
            if now == 0 { #expect(health.failed(unreachable: true, now: now, settings) == expected) }
            now += expected
        }
        for _ in 0..<100 {
            now += 10_000
            #expect(health.failed(unreachable: true, now: now, settings) == 5000)
        }
        // What was under way and still is answered does not end it.
        health.answered(now: now + 1)
        #expect(health.isEjected(now + 2))
        health.answered(now: now + 5000)
        #expect(health.failed(unreachable: false, now: now + 5000, settings) == nil)
        #expect(health.failed(unreachable: true, now: now + 5000, settings) == 1000)
    }

    @Test func `checks that find a server well again end its ejection`() {
        var health = ServerHealth()
        _ = health.failed(unreachable: true, now: 0, settings)
        health.checked(isUp: true, now: 10)
        #expect(health.isEjected(11))
        health.checked(isUp: false, now: 20)
        #expect(health.isCheckedDown)
        health.checked(isUp: true, now: 30)
        #expect(!health.isCheckedDown && !health.isEjected(30))
    }

    @Test func `slow start runs from the end of an ejection`() {
        var health = ServerHealth()
        #expect(health.share(now: 0, slowStart: 1000) == 1)
        _ = health.failed(unreachable: true, now: 0, settings)
        #expect(health.share(now: 1000, slowStart: 1000) < 0.1)
        health.answered(now: 1200)
        #expect(health.share(now: 1500, slowStart: 1000) == 0.5)
        #expect(health.share(now: 2000, slowStart: 1000) == 1)
        #expect(health.share(now: 1500, slowStart: 0) == 1)
    }
}
