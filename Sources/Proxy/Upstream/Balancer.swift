import Config
import Glibc

/// Which server of an upstream gets an exchange.
///
/// A value without I/O or clock; times are monotonic milliseconds.
struct Balancer {
    /// A server as the choice sees it.
    struct Server {
        let weight: Int
        let isBackup: Bool
        let inMaintenance: Bool
        let limit: Int
        /// Stands for the server in hashes: the same in every worker and generation, wherever it is listed.
        fileprivate let seed: UInt64
        /// Whether its name has an address.
        var isResolved = true
        var health = ServerHealth()
        /// Exchanges under way.
        var active = 0
        fileprivate var credit = 0.0

        init(_ server: UpstreamServer) {
            weight = server.weight
            isBackup = server.isBackup
            inMaintenance = server.inMaintenance
            limit = server.maximumConnections ?? .max
            seed = Hash.bytes(server.value.description.utf8)
        }
    }

    /// What decides beside the servers' state.
    struct Wish {
        /// Servers that were tried in vain, one bit each.
        var tried: UInt64 = 0
        /// The server that this client's session is at.
        var sticky: Int?
        /// What the request hashes to; nil when it has nothing to hash.
        var hash: UInt64?
    }

    enum Choice: Equatable {
        case server(Int)
        /// Whoever could serve has as many exchanges as allowed; only the named server will do, if one is named.
        case full(Int?)
        /// Nobody can serve.
        case none
    }

    /// In the order of preference.
    private enum Tier: Int {
        case primary
        case backup
        /// After failures, but not by the word of checks: better than nobody.
        case ejected
        case never
    }

    private let balance: Upstream.Balance
    private let slowStart: UInt64
    /// The most exchanges of all servers together.
    private let limit: Int
    var servers: [Server]

    init(_ settings: Upstream) {
        balance = settings.balance
        slowStart = settings.slowStart
        limit = settings.maximumConnections ?? .max
        servers = settings.servers.map { Server($0) }
    }

    /// Finds a server; it is the caller who counts the exchange as active.
    mutating func choose(_ wish: Wish, now: UInt64) -> Choice {
        var total = 0
        var tier = Tier.never
        for index in servers.indices {
            total += servers[index].active
            let other = self.tier(index, wish, now)
            if other.rawValue < tier.rawValue { tier = other }
        }
        if let index = wish.sticky, servers.indices.contains(index), isUsable(index, wish),
            !servers[index].health.isEjected(now)
        {
            return total < limit && hasRoom(index) ? .server(index) : .full(index)
        }
        guard tier != .never else { return .none }
        // A backup stands in for servers that fail, not for servers that are busy.
        guard total < limit, let index = pick(tier, wish, now) else { return .full(nil) }
        return .server(index)
    }

    /// Whether anybody could serve a new session.
    func hasUsable(now: UInt64) -> Bool {
        servers.indices.contains { tier($0, Wish(), now) != .never }
    }

    private func isUsable(_ index: Int, _ wish: Wish) -> Bool {
        wish.tried >> UInt64(min(index, 63)) & 1 == 0 && servers[index].isResolved
            && !servers[index].health.isCheckedDown
    }

    /// Whether a server may have one more exchange.
    func hasRoom(_ index: Int) -> Bool { servers[index].active < servers[index].limit }

    private func tier(_ index: Int, _ wish: Wish, _ now: UInt64) -> Tier {
        guard isUsable(index, wish), !servers[index].inMaintenance else { return .never }
        if servers[index].health.isEjected(now) { return .ejected }
        return servers[index].isBackup ? .backup : .primary
    }

    private mutating func pick(_ tier: Tier, _ wish: Wish, _ now: UInt64) -> Int? {
        if balance == .hash, let hash = wish.hash {
            var best: (index: Int, score: Double)?
            for index in servers.indices where hasRoom(index) && self.tier(index, wish, now) == tier {
                let score = score(index, hash, now)
                if best.map({ score > $0.score }) ?? true { best = (index, score) }
            }
            return best?.index
        }
        var least = Double.infinity
        if balance != .roundRobin {
            for index in servers.indices where hasRoom(index) && self.tier(index, wish, now) == tier {
                least = min(least, load(index, now))
            }
        }
        return inTurn(tier, notAbove: least, wish, now)
    }

    private func weight(_ index: Int, _ now: UInt64) -> Double {
        Double(servers[index].weight) * servers[index].health.share(now: now, slowStart: slowStart)
    }

    /// What a server has to do for its weight.
    private func load(_ index: Int, _ now: UInt64) -> Double { Double(servers[index].active) / weight(index, now) }

    /// Smooth weighted round-robin: over as many turns as the weights add up to, each server gets as many as its
    /// weight, spread evenly.
    ///
    /// - Parameter notAbove: only servers of this load take part.
    private mutating func inTurn(_ tier: Tier, notAbove most: Double, _ wish: Wish, _ now: UInt64) -> Int? {
        var best: Int?
        var total = 0.0
        for index in servers.indices where hasRoom(index) && self.tier(index, wish, now) == tier {
            guard load(index, now) <= most else { continue }
            let weight = weight(index, now)
            total += weight
            servers[index].credit += weight
            if best.map({ servers[index].credit > servers[$0].credit }) ?? true { best = index }
        }
        if let best { servers[best].credit -= total }
        return best
    }

    /// Weighted rendezvous hashing: of all servers the highest score wins, so a server that goes or comes moves only
    /// its own share of the keys.
    private func score(_ index: Int, _ hash: UInt64, _ now: UInt64) -> Double {
        let mixed = Hash.mix(hash ^ servers[index].seed)
        // Evenly in (0, 1), never at either end.
        let even = (Double(mixed >> 11) + 0.5) / Double(UInt64(1) << 53)
        return -weight(index, now) / log(even)
    }
}

/// Hashing that is the same in every process.
enum Hash {
    /// FNV-1a with a last mix, because its high bits are weak for short keys.
    static func bytes(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return mix(hash)
    }

    /// The same for a span.
    static func bytes(_ bytes: Span<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in bytes.indices { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
        return mix(hash)
    }

    /// Spreads every bit over all of them (the finalizer of SplitMix64).
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
