import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// Starting, watching and replacing workers.
extension Master {
    /// What workers of a generation are started with; nil when it does not serve any more.
    func footing(of generation: Int) -> Footing? {
        if generation == self.generation {
            return Footing(
                bundle: bundle,
                configuration: configuration,
                plan: plan,
                folders: folders,
                addresses: addresses,
                accessLog: previous == nil ? accessLog?.raw : nextAccessLog?.raw,
                ticketKeys: changes.ticketKeys ?? tickets.encoded()
            )
        }
        guard let previous, previous.generation == generation else { return nil }
        return Footing(
            bundle: previous.bundle,
            configuration: previous.configuration,
            plan: previous.plan,
            folders: previous.folders,
            addresses: previous.addresses,
            accessLog: accessLog?.raw,
            ticketKeys: tickets.encoded()
        )
    }

    /// Starts a worker and hands it all it needs, unless its generation does not serve any more.
    func startWorker(slot: Int, of generation: Int) throws {
        guard let footing = footing(of: generation) else { return }
        let configuration = footing.configuration
        giveKeys(of: footing.bundle, configuration, generation)
        var pair = try ControlChannel.pair()
        let theirs = pair.takeSecond()
        let descriptor = try File.sharedMemory("everyhop-metrics", size: MetricsPage.size)
        let page = try MetricsPage(descriptor: descriptor)
        let process = try ChildProcess.spawnSelf(["worker"], descriptors: [theirs.raw])
        // Where others serve meanwhile, it has time.
        if previous != nil, generation == self.generation { Priority.lower(process) }
        let worker = WorkerProcess(
            process: process,
            slot: slot,
            generation: generation,
            startedAt: Self.now,
            page: page,
            names: MetricsNames(configuration),
            pageDescriptor: descriptor,
            channel: ControlChannel(pair.takeFirst(), mostPayload: Supervision.mostPayload)
        )
        let token = handlers.insert(.worker(worker))
        worker.token = token
        try poller.add(worker.channel.descriptor, token, .read)
        workers.append(worker)
        hand(footing, to: worker)
        joinReplacement(worker)
        worker.flush(poller)
        for helper in helpers where helper.readsPages { helper.add(worker) }
    }

    private func hand(_ footing: Footing, to worker: WorkerProcess) {
        let configuration = footing.configuration
        let user = configuration.server.user.flatMap { Privileges.isRoot ? Privileges.lookUp(user: $0.value) : nil }
        let orders = WorkerOrders(
            slot: worker.slot,
            generation: worker.generation,
            connectionLimit: connectionLimit(configuration),
            user: user
        )
        worker.tell(.orders, orders.encoded())
        worker.tell(.configuration, withoutIsolatedKeys(footing.bundle.forTraffic, configuration).encoded())
        worker.tell(.metrics, copyOf: worker.pageDescriptor.raw)
        worker.tell(.ticketKeys, footing.ticketKeys)
        if let raw = footing.accessLog { worker.tell(.accessLog, copyOf: raw) }
        for socket in sockets.descriptors(footing.plan, slot: worker.slot, of: configuration.workerCount) {
            var writer = WireWriter()
            writer.put(socket.index)
            worker.tell(.listener, writer.bytes, copyOf: socket.raw)
        }
        for folder in footing.folders.descriptors {
            var writer = WireWriter()
            writer.put(folder.index)
            worker.tell(.folder, writer.bytes, copyOf: folder.raw)
        }
        for update in footing.addresses { worker.tell(.addresses, update.encoded()) }
        for update in health { worker.tell(.health, update.encoded()) }
        for update in staples.values { worker.tell(.staple, update.encoded()) }
        hand(proofsTo: worker)
        link(worker)
        worker.tell(.start)
    }

    /// Each client may need a descriptor of its own and one for a server; some are kept for all else.
    func connectionLimit(_ configuration: Configuration) -> Int {
        let byDescriptors = max(16, (descriptorLimit - 64) / 2)
        guard let asked = configuration.server.maximumConnections else { return byDescriptors }
        let workers = configuration.workerCount
        let share = (asked + workers - 1) / workers
        if share > byDescriptors {
            log.warning(
                "maximum_connections is more than the limit of open files allows; raise it with ulimit -n",
                metadata: ["per worker": "\(share)", "allowed": "\(byDescriptors)", "open files": "\(descriptorLimit)"]
            )
        }
        return min(share, byDescriptors)
    }

    /// Reads what a worker says.
    func readWorker(_ worker: WorkerProcess, _ turn: ControlChannel.Turn = .init()) {
        var turn = turn
        do {
            while let message = try worker.channel.receive(within: &turn) {
                switch ControlKind(rawValue: message.kind) {
                case .ready: workerIsReady(worker)
                case .pong: worker.pulse.answered()
                case .failed:
                    changes.workerFailure = String(decoding: message.payload, as: UTF8.self)
                    log.error("worker \(worker.slot): \(String(decoding: message.payload, as: UTF8.self))")
                case .sandbox:
                    worker.sandbox = try note(message.payload, of: "workers", after: worker.sandbox)
                    tellOfSandboxes()
                case .replacementReady, .replacementRefused, .replacementDone:
                    try readReplacement(message.kind, message.payload, from: worker)
                case .refusal:
                    let (refusal, count) = try HopRefusal.decode(message.payload)
                    record(refusal, count: count)
                case .proofsShown: try proofsShown(by: worker, message.payload)
                default: throw WireReader.Malformed()
                }
            }
            if turn.isOver { comeBack(to: worker.token) }
        } catch let error as Errno where error.isGone {
            // Its death is told by a signal; one that lives on without a channel does not answer any more.
            poller.remove(worker.channel.descriptor)
        } catch {
            poller.remove(worker.channel.descriptor)
            condemn(worker, .message, "it said something that makes no sense: \(error)")
        }
    }

    private func workerIsReady(_ worker: WorkerProcess) {
        guard worker.state == .starting else { return }
        worker.state = .serving
        for helper in helpers where helper.kind == .monitor { helper.serves(worker) }
        takesPlace(worker)
        let count = workers.filter { $0.generation == worker.generation && $0.state == .serving }.count
        log.info(
            "worker \(worker.slot) serves",
            metadata: ["pid": "\(worker.process)", "generation": "\(worker.generation)"]
        )
        // A worker that takes another's place is no new generation.
        guard worker.generation == generation, count == slots, servedGeneration != generation else { return }
        servedGeneration = generation
        if let former, former.state == .serving {
            log.info("all workers serve: the program before this one is told")
            // Nothing is this program's before the other one has let go of it.
            former.state = .told
            former.tell(.ready)
            return
        }
        beginToServe()
    }

    /// All workers of this generation serve, and the place is this program's.
    func beginToServe() {
        let isFirst = !hasBegun
        hasBegun = true
        if isFirst, takesFormersPlace {
            do {
                auditLog = try Self.openAuditLog(configuration, beside: file)
                try writePidFile()
            } catch { log.error("\(error)") }
            if control.listener == nil { startControl() }
        }
        generationIsReady()
        if isFirst { startHelpers() }
    }

    /// Collects children that have ended.
    func reap() {
        while let (process, status) = ChildProcess.reap() {
            if let index = workers.firstIndex(where: { $0.process == process }) {
                ended(workers.remove(at: index), status)
            } else if let index = helpers.firstIndex(where: { $0.process == process }) {
                helperEnded(helpers.remove(at: index), status)
            } else if let load = changes.load, load.process == process {
                loaderEnded(load, status)
            } else if parted(from: process) {
                continue
            } else if process == successor?.process {
                successorEnded(status)
            }
        }
    }

    /// A worker has ended, and is no more among the others.
    func ended(_ worker: WorkerProcess, _ status: Int) {
        // What it last said may still wait in the channel.
        readWorker(worker, .lastWords)
        if let token = worker.token { handlers.remove(token) }
        retiredPage.absorb(worker.page, named: worker.names, as: changes.retiredNames)
        leaveReplacement(worker)
        for helper in helpers + partings.compactMap(\.helper) where helper.readsPages { helper.remove(worker) }
        forgetProofs(of: worker)
        let isExpected = worker.verdict == nil && (worker.state == .draining || isStopping)
        let how = status < 0 ? "signal \(-status)" : "status \(status)"
        if isExpected {
            log.info("worker \(worker.slot) of generation \(worker.generation) has ended", metadata: ["how": "\(how)"])
            return
        }
        let reason = worker.verdict ?? .crash
        record(.workerLost, ["worker": "\(worker.slot)", "how": how, "reason": reason.rawValue])
        retiredPage.add(.workerDeaths)
        retiredPage.add(reason.ofWorker)
        log.error(
            "worker \(worker.slot) died; its connections are lost",
            metadata: ["how": "\(how)", "reason": "\(reason.rawValue)", "pid": "\(worker.process)"]
        )
        let isPresent = worker.generation == generation
        // While another generation starts, the one before it serves.
        guard isPresent || worker.generation == previous?.generation, worker.state != .draining, !isStopping else {
            return
        }
        if worker.state == .starting, former != nil, former?.state != .finishing {
            failure = "worker \(worker.slot) of the new program died with \(how) before it served"
            return
        }
        if isPresent, worker.state == .starting, previous != nil {
            abandonGeneration()
            return
        }
        replace(worker)
    }
}

/// What the workers of a generation are started with.
struct Footing {
    let bundle: Bundle
    let configuration: Configuration
    let plan: ListenPlan
    let folders: OpenFolders
    let addresses: [AddressUpdate]
    /// Where the access log goes.
    let accessLog: Int32?
    let ticketKeys: [UInt8]
}

/// A slot that is to be filled again.
struct Respawn {
    let slot: Int
    let generation: Int
    /// When, in monotonic milliseconds.
    let at: UInt64
}

extension MetricsNames {
    /// In the order of the slots.
    init(_ configuration: Configuration) {
        self.init(
            upstreams: configuration.upstreams.map(\.name),
            servers: configuration.upstreams.flatMap { upstream in
                upstream.servers.map { (upstream.name, $0.value.description) }
            },
            databases: configuration.databases.map(\.name)
        )
    }
}

extension WorkerProcess {
    /// Sends what waits, and watches for room when there is none.
    func flush(_ poller: Poller) {
        try? channel.flush()
        guard let token else { return }
        try? poller.change(channel.descriptor, token, channel.hasOutgoing ? [.read, .write] : .read)
    }
}
