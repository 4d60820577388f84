import Bytes
import Platform

/// One listening socket of a worker, as the master handed it over.
///
/// *Ownership:* owns this process's copy of the socket; the master keeps its own, so that closing this one refuses
/// nobody.
final class Listener {
    let descriptor: FileDescriptor
    /// What it serves.
    let entry: ListenEntry
    /// The slot that it belongs to, if that has no worker now.
    let owner: Int?
    private var isWatched = false
    /// The turn of the worker's loop in which it was last ready.
    private var lastTurn: UInt64 = 0

    init(_ descriptor: consuming FileDescriptor, entry: ListenEntry, lentBy owner: Int? = nil) {
        self.descriptor = consume descriptor
        self.entry = entry
        self.owner = owner
    }

    /// How many clients are let in now that it is ready: more than one where it was so in the turn before, too.
    func batch(turn: UInt64) -> Int {
        defer { lastTurn = turn }
        return lastTurn &+ 1 == turn ? 8 : 1
    }

    /// Begins or resumes accepting.
    func watch(_ token: Token, _ poller: Poller) throws(Errno) {
        guard !isWatched else { return }
        try poller.add(descriptor, token, .read)
        isWatched = true
    }

    /// Leaves new connections to the kernel's queue.
    func pause(_ poller: Poller) {
        guard isWatched else { return }
        poller.remove(descriptor)
        isWatched = false
    }
}

/// A socket of a slot that has no worker now.
struct LentSocket: Equatable {
    /// Its place in the `ListenPlan`.
    var index: Int
    /// The slot that it belongs to.
    var slot: Int

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(index)
        writer.put(slot)
        return writer.bytes
    }

    init(index: Int, slot: Int) {
        self.index = index
        self.slot = slot
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        index = try reader.int()
        slot = try reader.int()
    }
}

extension Worker {
    /// Takes clients for a slot that has no worker.
    func borrow(_ message: [UInt8], _ descriptor: consuming FileDescriptor?) {
        guard !isDraining, let lent = try? LentSocket(decoding: message), let descriptor,
            snapshot.plan.entries.indices.contains(lent.index)
        else { return }
        begin(Listener(descriptor, entry: snapshot.plan.entries[lent.index], lentBy: lent.slot))
    }

    /// Takes clients of one more socket: at once, unless all wait.
    func begin(_ listener: Listener) {
        let token = handlers.insert(.listener(listener))
        listeners.append((token, listener))
        if gate.isOpen { try? listener.watch(token, poller) }
    }

    /// A slot has a worker again.
    func giveBack(_ message: [UInt8]) {
        var reader = WireReader(message)
        guard let slot = try? reader.int() else { return }
        closeListeners { $0.owner == slot }
    }

    /// Leaves new clients to others, for good: an address that is configured no more is free for other programs.
    func closeListeners(where isMeant: (Listener) -> Bool = { _ in true }) {
        for (token, listener) in listeners where isMeant(listener) {
            listener.pause(poller)
            handlers.remove(token)
        }
        listeners.removeAll { isMeant($0.listener) }
    }
}
