import Bytes

/// How many connections each client has to this worker, where that is limited.
///
/// It remembers nobody who has gone, and nothing at all without a limit: its memory is bounded by the connections.
struct ClientPlaces {
    /// The most of one client; nil for any number.
    let limit: Int?
    private var counts: [AddressBits: Int] = [:]
    /// Whose a connection is, by its token.
    private var owners: [UInt64: AddressBits] = [:]

    init(limit: Int?) { self.limit = limit }

    /// How many clients have a connection.
    var clients: Int { counts.count }

    /// Counts one more connection; false, counting nothing, when its client has as many as it may.
    mutating func take(_ token: Token, _ address: AddressBits) -> Bool {
        guard let limit else { return true }
        let count = counts[address.ofClient, default: 0]
        guard count < limit else { return false }
        counts[address.ofClient] = count + 1
        owners[token.rawValue] = address.ofClient
        return true
    }

    /// The connection has ended; nothing when it was not counted.
    mutating func giveBack(_ token: Token) {
        guard limit != nil, let owner = owners.removeValue(forKey: token.rawValue), let count = counts[owner] else {
            return
        }
        counts[owner] = count > 1 ? count - 1 : nil
    }
}
