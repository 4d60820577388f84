import Glibc
import Platform

/// The listening sockets of all worker slots, kept open by the master as long as they are configured: a worker's death,
/// or its replacement, refuses no connection.
final class ListeningSockets {
    /// Why an address cannot be listened on.
    struct Failure: Error, CustomStringConvertible {
        let address: SocketAddress
        let error: Errno

        var description: String {
            let hint =
                error.call.description == "bind" && address.port < 1024 && address.port > 0 && !Privileges.isRoot
                ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)" : ""
            let other = error.code == EADDRINUSE ? " (another program listens there)" : ""
            return "cannot listen on \(address): \(error)\(hint)\(other)"
        }
    }

    private final class Socket {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    /// A socket that nothing of the configuration is for.
    struct Unmatched: Error, CustomStringConvertible {
        let description: String
    }

    private var sockets: [ListenEntry: [Socket]] = [:]
    /// What the service manager has opened; it is kept also while the configuration does not name it, since it may be
    /// beyond what this process could open again.
    private var activated: [SocketAddress: [Socket]] = [:]
    /// What the service manager calls them.
    private var names: [SocketAddress: String] = [:]

    /// Takes over what the service manager has opened.
    func adoptActivated() throws {
        defer { ActivatedSockets.forget() }
        for index in 0..<ActivatedSockets.count {
            let socket = try ActivatedSockets.take(index)
            let (address, name) = (socket.address, socket.name)
            names[address] = name
            activated[address, default: []].append(Socket(socket.takeDescriptor()))
        }
    }

    /// Refuses a start with sockets whose clients nobody would serve.
    func checkActivated(_ plan: ListenPlan) throws(Unmatched) {
        let wanted = Set((plan.entries + [plan.admin].compactMap(\.self)).map(\.address))
        let unmatched = activated.keys.filter { !wanted.contains($0) }.map { "\(names[$0] ?? "") at \($0)" }.sorted()
        guard !unmatched.isEmpty else { return }
        throw Unmatched(
            description: "the service manager has opened what the configuration does not listen on: "
                + unmatched.joined(separator: ", ")
        )
    }

    /// Refuses a start where another program listens: with SO_REUSEPORT it would get a share of the clients, and nobody
    /// would be told.
    ///
    /// One that was killed a moment ago may not be gone yet, so that is waited for.
    func checkFree(_ plan: ListenPlan) throws(Failure) {
        var tries = 40
        for entry in plan.entries where entry.address.path == nil && activated[entry.address] == nil {
            while true {
                // Not kept: a socket without SO_REUSEPORT beside those of the slots would be in their way.
                do throws(Errno) { _ = try Platform.Socket.listen(on: entry.address, sharePort: false) } catch {
                    // Whatever else there is to say is said when it is opened.
                    guard error.code == EADDRINUSE else { break }
                    guard tries > 0 else { throw Failure(address: entry.address, error: error) }
                    tries -= 1
                    usleep(50_000)
                    continue
                }
                break
            }
        }
    }

    /// Takes over a socket of the program before this one.
    func adopt(_ inherited: InheritedSocket, _ descriptor: consuming FileDescriptor) {
        // That one may have been of a version that set less.
        if inherited.entry.address.path == nil { Platform.Socket.setUp(listener: descriptor) }
        let socket = Socket(descriptor)
        if inherited.isActivated {
            activated[inherited.entry.address, default: []].append(socket)
        } else {
            sockets[inherited.entry, default: []].append(socket)
        }
    }

    /// All sockets, for the program that takes over.
    var all: [(inherited: InheritedSocket, raw: Int32)] {
        let own = sockets.filter { activated[$0.key.address] == nil }.flatMap { entry, list in
            list.map { (InheritedSocket(entry: entry, isActivated: false), $0.descriptor.raw) }
        }
        let given = activated.flatMap { address, list in
            // What they serve is for the other one's configuration to say.
            list.map { socket in
                let entry = ListenEntry(address: address, kind: .https)
                return (InheritedSocket(entry: entry, isActivated: true), socket.descriptor.raw)
            }
        }
        return own + given
    }

    /// Closes all of them here; the program that has taken over has its own, and the files of unix sockets.
    func handOver() {
        sockets = [:]
        activated = [:]
    }

    /// Opens what a plan needs and is not open yet; what was open stays, also when this fails.
    func open(_ plan: ListenPlan, slots: Int) throws(Failure) {
        // A path has one socket, which all slots share; the kernel wakes whoever waits.
        for entry in plan.entries {
            let isNew = sockets[entry] == nil
            try open(entry, count: entry.address.path == nil ? slots : 1)
            if isNew { try setMode(entry, plan) }
        }
        if let admin = plan.admin { try open(admin, count: 1) }
    }

    /// Gives the files of all unix sockets the modes of a plan that serves; new ones have theirs already.
    func setModes(_ plan: ListenPlan) {
        for entry in plan.entries { try? setMode(entry, plan) }
    }

    private func setMode(_ entry: ListenEntry, _ plan: ListenPlan) throws(Failure) {
        guard let path = entry.address.path, let mode = plan.modes[entry.address] else { return }
        do throws(Errno) { try File.setMode(mode, of: path) } catch {
            throw Failure(address: entry.address, error: error)
        }
    }

    /// How many sockets each address has.
    var counts: [ListenEntry: Int] { sockets.mapValues(\.count) }

    /// Those of one worker slot that an address has beyond the numbers it had.
    func descriptors(
        _ plan: ListenPlan,
        slot: Int,
        of slots: Int,
        beyond counts: [ListenEntry: Int]
    ) -> [(index: Int, raw: Int32)] {
        plan.entries.enumerated().flatMap { index, entry -> [(index: Int, raw: Int32)] in
            guard entry.address.path == nil, let list = sockets[entry], let before = counts[entry] else { return [] }
            return stride(from: slot, to: list.count, by: slots).filter { $0 >= before }
                .map { (index, list[$0].descriptor.raw) }
        }
    }

    private func open(_ entry: ListenEntry, count: Int) throws(Failure) {
        if let given = activated[entry.address] {
            // No more can be opened beside one without SO_REUSEPORT: the slots share what there is.
            sockets[entry] = given
            return
        }
        var list = sockets[entry] ?? []
        while list.count < count {
            do throws(Errno) {
                list.append(Socket(try Platform.Socket.listen(on: entry.address, sharePort: entry.kind != .admin)))
            } catch {
                // A host without IPv6 still serves `*` on IPv4.
                if error.isUnsupportedFamily, entry.address.host == "::" { break }
                throw Failure(address: entry.address, error: error)
            }
        }
        sockets[entry] = list
    }

    /// The monitor's socket; it is kept here, so that a monitor's death refuses nobody.
    func admin(_ plan: ListenPlan) -> Int32? { plan.admin.flatMap { sockets[$0]?.first?.descriptor.raw } }

    /// Closes what a plan no longer names.
    func close(except plan: ListenPlan) {
        for entry in sockets.keys where !plan.entries.contains(entry) && entry != plan.admin {
            sockets[entry] = nil
            if activated[entry.address] != nil { continue }
            if let path = entry.address.path { File.remove(path) }
        }
    }

    /// Removes the files of unix sockets, at the end.
    func removeFiles() {
        for entry in sockets.keys where activated[entry.address] == nil {
            if let path = entry.address.path { File.remove(path) }
        }
    }

    /// The sockets of one worker slot of `slots`, by their place in the plan.
    ///
    /// Sockets of an earlier configuration with more workers are shared out: the kernel goes on to give them clients,
    /// and closing them would refuse those that wait in them.
    ///
    /// - Parameter sharedToo: whether also those that every slot has.
    func descriptors(
        _ plan: ListenPlan,
        slot: Int,
        of slots: Int,
        sharedToo: Bool = true
    ) -> [(index: Int, raw: Int32)] {
        plan.entries.enumerated().flatMap { index, entry -> [(index: Int, raw: Int32)] in
            let list = sockets[entry] ?? []
            // A path has one socket, and the service manager may have opened fewer than there are slots.
            let isShared = entry.address.path != nil || list.count < slots
            if isShared { return sharedToo ? list.indices.map { (index, list[$0].descriptor.raw) } : [] }
            let places = stride(from: slot, to: list.count, by: slots)
            return places.map { (index, list[$0].descriptor.raw) }
        }
    }
}
