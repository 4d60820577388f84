import Config
import Platform

/// What each child of the master goes on to need; everything else it gives up.
extension Sandbox.Plan {
    /// Carries traffic: takes clients, dials servers, reads beneath the folders that it was handed.
    static func worker(_ configuration: Configuration, folders: [Int32]) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: configuration.dialNeeds.union(.accept))
        plan.ports = configuration.serverPorts
        plan.folders = folders
        if !folders.isEmpty { plan.needs.formUnion(.filesBeneath) }
        return plan
    }

    /// Checks servers, and answers on the admin address, which it listens on already.
    static func monitor(_ configuration: Configuration) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: configuration.dialNeeds.union(.accept))
        plan.ports = configuration.serverPorts
        return plan
    }

    /// Dials what clients and everyhop dial; looks names of servers up itself.
    static func prober(_ configuration: Configuration) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: configuration.dialNeeds.union([.network, .localSockets]))
        plan.ports = configuration.serverPorts + configuration.ownPorts + configuration.audit.plainPorts + [80]
        if !ResolverTask.names(in: configuration).isEmpty { plan.lookNamesUp() }
        return plan
    }

    /// Looks names up, and nothing else.
    static func resolver(_ configuration: Configuration) -> Sandbox.Plan {
        var plan = Sandbox.Plan()
        plan.lookNamesUp()
        return plan
    }

    /// Dials responders, whose names it looks up.
    static func stapler(_ configuration: Configuration, _ bundle: Bundle) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: .network)
        let responders = StaplerTask.responders(bundle, configuration)
        plan.ports = Array(Set(responders.map(\.port)))
        if responders.contains(where: { !$0.isNumeric }) { plan.lookNamesUp() }
        return plan
    }

    /// Asks authorities, whose servers have names; it reads which authorities this host trusts, and writes nothing.
    static func issuer(_ configuration: Configuration, _: Bundle) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: .network)
        plan.ports = configuration.issuedCertificates.map(\.settings.directory.value.port) + [443]
        plan.lookNamesUp()
        return plan
    }

    /// Looks at paths, with the master's rights to get there and no others.
    static func watcher(_ configuration: Configuration) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: .files)
        plan.readable = ["/"]
        return plan
    }

    /// Signs what it is asked to over sockets that it was given, and reaches nothing.
    static func signer(_ configuration: Configuration) -> Sandbox.Plan { Sandbox.Plan() }

    /// Reads the configuration and what it names; the C library looks the workers' user up.
    ///
    /// - Parameter writes: whether certificates that it makes are kept beside the file.
    static func loader(_ file: String, writes: Bool) -> Sandbox.Plan {
        var plan = Sandbox.Plan(needs: [.names, .files])
        plan.readable = ["/"]
        guard writes else { return plan }
        plan.needs.formUnion(.writing)
        plan.writable = [Loader.resolved(".", beside: file)]
        return plan
    }

    /// The C library reads its settings, loads modules, and asks over UDP, or over TCP when an answer is long.
    private mutating func lookNamesUp() {
        needs.formUnion([.names, .files])
        readable = ["/"]
        ports = (ports ?? []) + [53]
    }
}

extension Configuration {
    /// How servers are reached.
    fileprivate var dialNeeds: CallPolicy.Needs {
        var needs: CallPolicy.Needs = []
        for server in servers {
            if case .unix = server { needs.insert(.localSockets) } else { needs.insert(.network) }
        }
        return needs
    }

    private var servers: [Endpoint] {
        upstreams.flatMap { $0.servers.map(\.value) } + databases.map(\.server.value)
    }

    /// The TCP ports of all servers.
    fileprivate var serverPorts: [UInt16] { servers.compactMap(\.port) }

    /// The TCP ports that everyhop listens on itself.
    fileprivate var ownPorts: [UInt16] {
        ListenPlan(self).entries.filter { $0.address.path == nil }.map(\.address.port)
    }
}
