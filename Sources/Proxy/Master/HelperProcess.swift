import Bytes
import Config
import Evidence
import Logging
import Platform
import Telemetry

/// A child that carries no traffic: the monitor, the prober, the resolver, the watcher, the issuer or the signer.
final class HelperProcess {
    enum Kind: String {
        /// Serves the admin address and checks servers.
        case monitor
        /// Looks at every hop from outside, which may wait.
        case prober
        /// Resolves the names of servers.
        case resolver
        /// Looks after the folders that are served.
        case watcher
        /// Asks authorities about certificates.
        case stapler
        /// Asks authorities for certificates, which may wait.
        case acme
        /// Holds private keys.
        case signer

        /// Whether the master listens to this one about that: a child that was broken into speaks for no other.
        func maySay(_ message: ControlKind) -> Bool {
            switch message {
            case .pong, .ready, .failed, .sandbox: true
            case .health, .adminAccess: self == .monitor
            case .hop: self == .prober
            case .addresses: self == .resolver
            case .folderGone: self == .watcher
            case .staple: self == .stapler
            case .proofs, .keep, .issuance: self == .acme
            default: false
            }
        }
    }

    let kind: Kind
    let process: Int32
    let startedAt: UInt64
    /// The generation whose configuration it has.
    var generation: Int
    var channel: ControlChannel
    var token: Token?
    /// What it was asked to do, encoded; kept for issuers alone.
    var handed: [UInt8] = []
    var pulse = Pulse()
    /// What it has told of its sandbox.
    var sandbox: Sandbox.Report?
    /// Whether it has begun its work, by its own word.
    var hasStarted = false
    /// Why the master ends it, once it has decided so.
    var verdict: ReplacementReason?
    /// When it has to have ended then.
    var endsBy = UInt64.max

    init(
        _ kind: Kind,
        process: Int32,
        startedAt: UInt64,
        generation: Int,
        channel: consuming ControlChannel
    ) {
        self.kind = kind
        self.generation = generation
        self.process = process
        self.startedAt = startedAt
        self.channel = consume channel
    }

    /// Whether it is told of workers and what they count.
    var readsPages: Bool {
        switch kind {
        case .monitor, .prober: true
        case .resolver, .watcher, .stapler, .acme, .signer: false
        }
    }

    func tell(_ message: ControlKind, _ payload: [UInt8] = [], copyOf descriptor: Int32 = -1) {
        try? channel.send(kind: message.rawValue, payload, copyOf: descriptor)
    }

    /// Tells it of a worker's page, unless that counts in the order of a configuration it does not know.
    func add(_ worker: WorkerProcess) {
        guard worker.generation <= generation else { return }
        tell(.page, Self.name(worker), copyOf: worker.pageDescriptor.raw)
    }

    /// Tells it that a worker is gone and its counts are in the retired page.
    func remove(_ worker: WorkerProcess) { tell(.pageGone, Self.name(worker)) }

    /// Tells a monitor that a worker serves.
    func serves(_ worker: WorkerProcess) {
        if worker.generation <= generation { tell(.ready, Self.name(worker)) }
    }

    /// Sends what waits, and watches for room when there is none.
    func flush(_ poller: Poller) {
        try? channel.flush()
        guard let token else { return }
        try? poller.change(channel.descriptor, token, channel.hasOutgoing ? [.read, .write] : .read)
    }

    func end() { ChildProcess.end(process) }

    private static func name(_ worker: WorkerProcess) -> [UInt8] {
        var writer = WireWriter()
        writer.put(Int(worker.process))
        return writer.bytes
    }
}

extension Master {
    /// Starts what the configuration asks for and is not there yet.
    func startHelpers() {
        // Every certificate is read for this, so it is done once.
        let subjects = StaplerTask.subjects(bundle, configuration)
        expectStaples(subjects)
        for kind in neededHelpers(asks: !subjects.isEmpty) {
            guard !helpers.contains(where: { $0.kind == kind && $0.generation == generation }),
                !lateHelpers.contains(where: { $0.kind == kind })
            else { continue }
            // What a program that takes over tells or asks of others waits until the one before it has ceased to.
            if isChangingPlaces, kind == .monitor || kind == .prober || kind == .acme { continue }
            if kind == .acme { startIssuer() } else { start(kind) }
        }
    }

    /// - Parameter asks: whether there is a certificate to ask its authority about.
    private func neededHelpers(asks: Bool) -> [HelperProcess.Kind] {
        var kinds: [HelperProcess.Kind] = []
        if configuration.server.admin != nil || configuration.upstreams.contains(where: { $0.health != nil }) {
            kinds.append(.monitor)
        }
        // What it sees is told on the admin address.
        if configuration.server.admin != nil, configuration.audit.probeInterval != nil { kinds.append(.prober) }
        if !ResolverTask.names(in: configuration).isEmpty { kinds.append(.resolver) }
        if !configuration.folders.isEmpty { kinds.append(.watcher) }
        if asks { kinds.append(.stapler) }
        if !configuration.issuedCertificates.isEmpty { kinds.append(.acme) }
        return kinds
    }

    /// A new generation serves: the old one's helpers end, new ones know the new configuration.
    func restartHelpers() {
        // The signer gets other keys instead: nobody can shake hands without it.
        for helper in helpers where keepsIssuing(helper) || helper.kind == .signer { helper.generation = generation }
        for old in Set(helpers.map(\.generation)) where old < generation { endHelpers(of: old) }
        lateHelpers = []
        startHelpers()
    }

    /// Ends the helpers of a generation.
    func endHelpers(of generation: Int) {
        for helper in helpers where helper.generation == generation { end(helper) }
    }

    func end(_ helper: HelperProcess) {
        if let token = helper.token { handlers.remove(token) }
        poller.remove(helper.channel.descriptor)
        helpers.removeAll { $0 === helper }
        if helper.kind == .acme { issuerEnded() }
        part(with: helper)
    }

    func start(_ kind: HelperProcess.Kind) {
        do {
            var pair = try ControlChannel.pair()
            let theirs = pair.takeSecond()
            let process = try ChildProcess.spawnSelf(
                [kind.rawValue],
                descriptors: [theirs.raw],
                // It alone asks databases.
                variables: kind == .prober ? [DatabaseChoice.variable] : []
            )
            // Handshakes wait for that one.
            if kind != .signer { Priority.lower(process) }
            let helper = HelperProcess(
                kind,
                process: process,
                startedAt: Self.now,
                generation: generation,
                channel: ControlChannel(pair.takeFirst(), mostPayload: Supervision.mostPayload)
            )
            let token = handlers.insert(.helper(helper))
            helper.token = token
            try poller.add(helper.channel.descriptor, token, .read)
            helpers.append(helper)
            let user = configuration.server.user.flatMap { Privileges.isRoot ? Privileges.lookUp(user: $0.value) : nil }
            let orders = WorkerOrders(
                slot: 0,
                generation: generation,
                connectionLimit: 64,
                // The watcher goes where the master can: it looks at paths, and hears nobody else.
                user: kind == .watcher ? nil : user
            )
            helper.tell(.orders, orders.encoded())
            switch kind {
            case .monitor:
                helper.tell(.page, [UInt8](repeating: 0, count: 8), copyOf: retiredDescriptor.raw)
                if let admin = sockets.admin(plan) { helper.tell(.listener, copyOf: admin) }
                for worker in workers { helper.add(worker) }
                for worker in workers where worker.state == .serving { helper.serves(worker) }
                for update in addresses { helper.tell(.addresses, update.encoded()) }
                for update in health { helper.tell(.health, update.encoded()) }
                for update in hops { helper.tell(.hop, update.encoded()) }
                for update in issuance.updates { helper.tell(.issuance, update.encoded()) }
                helper.tell(.configuration, withoutIsolatedKeys(forChecks(bundle), configuration).encoded())
                tellOfReport(helper)
            case .prober:
                helper.tell(.page, [UInt8](repeating: 0, count: 8), copyOf: retiredDescriptor.raw)
                for worker in workers { helper.add(worker) }
                for update in hops { helper.tell(.hop, update.encoded()) }
                helper.tell(.configuration, withoutIsolatedKeys(forProbes(bundle), configuration).encoded())
            case .resolver, .signer:
                // Names and addresses only: one has no use for keys, and the other gets them and nothing else.
                helper.tell(.configuration, Bundle(file: bundle.file, tree: bundle.tree, resources: [:]).encoded())
            case .watcher: helper.tell(.configuration, forWatching(bundle).encoded())
            case .stapler: helper.tell(.configuration, forStapling(bundle).encoded())
            case .acme:
                helper.handed = forIssuing(bundle, withState: false).encoded()
                helper.tell(.configuration, forIssuing(bundle, withState: true).encoded())
            }
            link(helper)
            helper.tell(.start)
            if kind == .stapler || kind == .monitor { tellOfStaples(helper) }
            if kind == .monitor { tellOfExpiry(helper) }
            helper.flush(poller)
            if kind == .signer { signerBegins() }
        } catch { log.error("the \(kind.rawValue) cannot be started: \(error)") }
    }

    /// Passes on what a helper has found.
    func readHelper(_ helper: HelperProcess, _ turn: ControlChannel.Turn = .init()) {
        var turn = turn
        do {
            while let message = try helper.channel.receive(within: &turn) {
                helper.hasStarted = true
                guard let kind = ControlKind(rawValue: message.kind), helper.kind.maySay(kind) else {
                    throw WireReader.Malformed()
                }
                switch kind {
                case .addresses:
                    spread(try AddressUpdate(decoding: message.payload), from: helper)
                case .ready: if helper.kind == .resolver && helper.generation == generation { namesAreKnown() }
                case .sandbox:
                    helper.sandbox = try note(message.payload, of: helper.kind.rawValue, after: helper.sandbox)
                    tellOfSandboxes()
                case .health: spread(try HealthUpdate(decoding: message.payload))
                case .folderGone: lose(try FolderLoss(decoding: message.payload))
                case .adminAccess:
                    var reader = WireReader(message.payload)
                    record(.adminAccess, ["page": "hop map", "count": "\(try reader.int())"])
                case .hop: spread(try HopUpdate(decoding: message.payload))
                case .staple: spread(try StapleUpdate(decoding: message.payload))
                case .proofs: try spread(proofs: message.payload)
                case .keep: keep(try KeptPart(decoding: message.payload), for: helper)
                case .issuance: take(try IssuanceUpdate(decoding: message.payload))
                case .failed: log.error("\(helper.kind.rawValue): \(String(decoding: message.payload, as: UTF8.self))")
                case .pong: helper.pulse.answered()
                default: throw WireReader.Malformed()
                }
            }
            if turn.isOver { comeBack(to: helper.token) }
        } catch let error as Errno where error.isGone {
            // Its death is told by a signal; one that lives on without a channel does not answer any more.
            poller.remove(helper.channel.descriptor)
        } catch {
            poller.remove(helper.channel.descriptor)
            condemn(helper, .message, "it said something that makes no sense: \(error)")
        }
    }

    /// Places in an update are those of the configuration that its resolver has.
    private func spread(_ update: AddressUpdate, from resolver: HelperProcess) {
        let keep = { (list: inout [AddressUpdate]) in
            list.removeAll { $0.upstream == update.upstream && $0.server == update.server }
            list.append(update)
        }
        let isOld = previous != nil && resolver.generation < generation
        if !isOld {
            keep(&addresses)
        } else if var old = previous?.addresses {
            keep(&old)
            previous?.addresses = old
        }
        for worker in workers where isOld ? worker.generation < generation : worker.generation == generation {
            worker.tell(.addresses, update.encoded())
        }
        for other in helpers where other.kind == .monitor && other.generation == resolver.generation {
            other.tell(.addresses, update.encoded())
        }
    }

    func helperEnded(_ helper: HelperProcess, _ status: Int) {
        readHelper(helper, .lastWords)
        if let token = helper.token { handlers.remove(token) }
        guard !isStopping else { return }
        if helper.kind == .acme { issuerEnded() }
        let reason = helper.verdict ?? .crash
        retiredPage.add(reason.ofHelper)
        let now = Self.now
        let pause = supervision.helperPauses[helper.kind, default: RestartPause()].next(lived: now - helper.startedAt)
        log.error(
            "the \(helper.kind.rawValue) died; it is started again, and traffic goes on without it",
            metadata: [
                "how": "\(status < 0 ? "signal \(-status)" : "status \(status)")", "reason": "\(reason.rawValue)",
                "after": "\(pause) ms",
            ]
        )
        lateHelpers.append((helper.kind, now + pause))
    }

    /// Starts helpers whose pause is over.
    func startLateHelpers(_ now: UInt64) {
        let due = lateHelpers.filter { $0.at <= now }
        lateHelpers.removeAll { $0.at <= now }
        for helper in due where !isStopping && !helpers.contains(where: { $0.kind == helper.kind }) {
            if helper.kind == .acme { startIssuer() } else { start(helper.kind) }
        }
    }
}
