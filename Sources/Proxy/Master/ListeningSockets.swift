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
            return "cannot listen on \(address): \(error)\(hint)"
        }
    }

    private final class Socket {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    private var sockets: [ListenEntry: [Socket]] = [:]

    /// Opens what a plan needs and is not open yet; what was open stays, also when this fails.
    func open(_ plan: ListenPlan, slots: Int) throws(Failure) {
        for entry in plan.entries {
            var list = sockets[entry] ?? []
            // A path has one socket, which all slots share; the kernel wakes whoever waits.
            while list.count < (entry.address.path == nil ? slots : 1) {
                do throws(Errno) {
                    list.append(Socket(try Platform.Socket.listen(on: entry.address, sharePort: true)))
                } catch {
                    // A host without IPv6 still serves `*` on IPv4.
                    if error.isUnsupportedFamily, entry.address.host == "::" { break }
                    throw Failure(address: entry.address, error: error)
                }
            }
            let isNew = sockets[entry] == nil
            sockets[entry] = list
            if isNew { try setMode(entry, plan) }
        }
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

    /// Closes what a plan no longer names.
    func close(except plan: ListenPlan) {
        for entry in sockets.keys where !plan.entries.contains(entry) {
            sockets[entry] = nil
            if let path = entry.address.path { File.remove(path) }
        }
    }

    /// Removes the files of unix sockets, at the end.
    func removeFiles() {
        for entry in sockets.keys { if let path = entry.address.path { File.remove(path) } }
    }

    /// The sockets of one worker slot of `slots`, by their place in the plan.
    ///
    /// Sockets of an earlier configuration with more workers are shared out: the kernel goes on to give them clients,
    /// and closing them would refuse those that wait in them.
    func descriptors(_ plan: ListenPlan, slot: Int, of slots: Int) -> [(index: Int, raw: Int32)] {
        plan.entries.enumerated().flatMap { index, entry -> [(index: Int, raw: Int32)] in
            let list = sockets[entry] ?? []
            let places =
                entry.address.path == nil
                ? stride(from: slot, to: list.count, by: slots) : stride(from: 0, to: list.count, by: 1)
            return places.map { (index, list[$0].descriptor.raw) }
        }
    }
}
