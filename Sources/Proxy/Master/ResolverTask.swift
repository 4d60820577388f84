import Config
import Platform

/// The resolver process: looks names up, which may wait, and tells the master when addresses change.
struct ResolverTask {
    private struct Name {
        let upstream: Int
        let server: Int
        let name: String
        var last: [String] = []
        var complaint = Complaint()
    }

    /// What is wrong with a name, told when it is new and then once a while: an outage is no flood of the log.
    struct Complaint {
        /// Milliseconds between two lines that say the same.
        static let pause: UInt64 = 60_000

        private var told: (text: String, at: UInt64)?

        /// - Parameter now: monotonic milliseconds.
        mutating func shouldTell(_ text: String, now: UInt64) -> Bool {
            if let told, told.text == text, now < told.at + Self.pause { return false }
            told = (text, now)
            return true
        }
    }

    /// Every server that has a name instead of an address.
    static func names(in configuration: Configuration) -> [(upstream: Int, server: Int, name: String)] {
        let servers =
            configuration.upstreams.map { $0.servers.map(\.value) } + configuration.databases.map { [$0.server.value] }
        return servers.enumerated().flatMap { group, endpoints in
            endpoints.enumerated().compactMap { server, endpoint in
                guard case .name(let name, _) = endpoint else { return nil }
                return (group, server, name)
            }
        }
    }

    /// What is known already of another configuration's names, so that its first requests need not wait for a look-up.
    static func carry(
        _ updates: [AddressUpdate],
        from old: Configuration,
        to new: Configuration
    ) -> [AddressUpdate] {
        let known = names(in: old)
        return names(in: new).compactMap { entry in
            guard let same = known.first(where: { $0.name == entry.name }),
                let update = updates.last(where: { $0.upstream == same.upstream && $0.server == same.server })
            else { return nil }
            return AddressUpdate(upstream: entry.upstream, server: entry.server, addresses: update.addresses)
        }
    }

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws {
        var channel = setup.takeChannel()
        let interval = setup.configuration.server.resolve
        var names = names(in: setup.configuration).map { Name(upstream: $0.upstream, server: $0.server, name: $0.name) }
        var isFirst = true
        while true {
            var failed = false
            for index in names.indices {
                try channel.answerPings()
                do throws(NameResolution.Failure) {
                    let found = try NameResolution.resolve(names[index].name, port: 1).map(\.host).sorted()
                    names[index].complaint = Complaint()
                    guard found != names[index].last else { continue }
                    names[index].last = found
                    let update = AddressUpdate(
                        upstream: names[index].upstream,
                        server: names[index].server,
                        addresses: found
                    )
                    try? channel.send(kind: ControlKind.addresses.rawValue, update.encoded())
                } catch {
                    // The last known addresses stay in use: a resolver's failure is not the servers'.
                    failed = true
                    let text = "cannot resolve \(names[index].name): \(error)"
                    let now = Clock.monotonicMicroseconds() / 1000
                    guard names[index].complaint.shouldTell(text, now: now) else { continue }
                    try? channel.send(kind: ControlKind.failed.rawValue, Array(text.utf8))
                }
            }
            // Found or not: nobody has to wait for these names any more.
            if isFirst { try channel.send(kind: ControlKind.ready.rawValue) }
            isFirst = false
            try channel.flushWaiting()
            try channel.answerPings(milliseconds: failed ? min(interval, 5000) : interval)
        }
    }
}
