/// Which servers were tried, and which may be tried yet.
extension Exchange {
    /// A connection that this exchange has waited for may be free now.
    func seekAgain(_ worker: Worker) {
        guard state.request == .awaitingServer, server == nil, client != nil else { return }
        seekServer(worker)
    }

    /// Counts an attempt at a server; when it has no other address, the next attempt goes to another server.
    func markTried(_ index: Int, addresses: Int) {
        attempts += 1
        guard attempts >= addresses else { return }
        attempts = 0
        tried |= 1 << UInt64(truncatingIfNeeded: min(index, 63))
    }

    /// A server that was reached has not acted on the request, and says so: it may be asked again, a few times.
    func mayAskAgain() -> Bool {
        guard refusals < Self.mostRefusals else { return false }
        refusals += 1
        tried = 0
        attempts = 0
        return true
    }

    /// The connection that was waited for went to others: look again, at the same server, too.
    func seekOther(_ index: Int, _ worker: Worker) {
        server = nil
        attempts = 0
        tried &= ~(1 << UInt64(truncatingIfNeeded: min(index, 63)))
        worker.seekLater(token)
    }
}
