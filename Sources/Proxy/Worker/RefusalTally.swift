/// A hop that was refused: nothing of a client's was sent there.
struct HopRefusal: Hashable {
    /// Which hop.
    enum Hop: String {
        case client
        case app
        case database
    }

    let hop: Hop
    /// The upstream's or database's name; empty on the client hop.
    let name: String
    /// The server, or the client.
    let peer: String
    let reason: String

    func encoded(count: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.put(hop.rawValue)
        writer.put(name)
        writer.put(peer)
        writer.put(reason)
        writer.put(count)
        return writer.bytes
    }

    init(hop: Hop, name: String, peer: String, reason: String) {
        self.hop = hop
        self.name = name
        self.peer = peer
        self.reason = reason
    }

    static func decode(_ bytes: [UInt8]) throws(WireReader.Malformed) -> (refusal: HopRefusal, count: Int) {
        var reader = WireReader(bytes)
        guard let hop = Hop(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        let refusal = HopRefusal(
            hop: hop,
            name: try reader.text(),
            peer: try reader.text(),
            reason: try reader.text()
        )
        return (refusal, try reader.int())
    }
}

/// Tells of each kind of refusal at once, then counts those like it and tells of them every ten seconds: a server that
/// is not trusted, or an attacker, must not fill the audit log.
///
/// A value without I/O or clock.
struct RefusalTally {
    private struct Held {
        var count = 0
        var next: UInt64
    }

    static let pause: UInt64 = 10_000
    /// More kinds at a time are counted as one.
    static let mostKinds = 64

    private var held: [HopRefusal: Held] = [:]

    /// Takes a refusal in; true when it is to be told of now.
    mutating func note(_ refusal: HopRefusal, now: UInt64) -> Bool {
        if held[refusal] != nil {
            held[refusal]?.count += 1
            return false
        }
        guard held.count < Self.mostKinds else {
            let others = HopRefusal(hop: refusal.hop, name: "", peer: "", reason: "others")
            held[others, default: Held(next: now + Self.pause)].count += 1
            return false
        }
        held[refusal] = Held(next: now + Self.pause)
        return true
    }

    /// What was held back long enough, with how many there were.
    mutating func due(now: UInt64) -> [(refusal: HopRefusal, count: Int)] {
        guard !held.isEmpty else { return [] }
        var due: [(refusal: HopRefusal, count: Int)] = []
        for (refusal, entry) in held where entry.next <= now {
            if entry.count == 0 {
                held[refusal] = nil
            } else {
                due.append((refusal, entry.count))
                held[refusal] = Held(next: now + Self.pause)
            }
        }
        return due
    }
}
