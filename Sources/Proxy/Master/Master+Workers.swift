import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// Starting, watching and replacing workers.
extension Master {
    /// Starts a worker of the current generation and hands it all it needs.
    func startWorker(slot: Int) throws {
        let worker = try spawnWorker(slot: slot, bundle, configuration, plan, generation: generation)
        workers.append(worker)
    }

    /// Starts a worker of any generation.
    func spawnWorker(
        slot: Int,
        _ bundle: Bundle,
        _ configuration: Configuration,
        _ plan: ListenPlan,
        generation: Int
    ) throws -> WorkerProcess {
        var pair = try ControlChannel.pair()
        let theirs = pair.takeSecond()
        let descriptor = try File.sharedMemory("everyhop-metrics", size: MetricsPage.size)
        let page = try MetricsPage(descriptor: descriptor)
        let process = try ChildProcess.spawnSelf(["worker"], descriptors: [theirs.raw])
        let worker = WorkerProcess(
            process: process,
            slot: slot,
            generation: generation,
            startedAt: Self.now,
            page: page,
            names: MetricsNames(configuration),
            pageDescriptor: descriptor,
            channel: ControlChannel(pair.takeFirst())
        )
        let token = handlers.insert(.worker(worker))
        worker.token = token
        try poller.add(worker.channel.descriptor, token, .read)
        let user = configuration.server.user.flatMap { Privileges.isRoot ? Privileges.lookUp(user: $0.value) : nil }
        let orders = WorkerOrders(
            slot: slot,
            generation: generation,
            connectionLimit: connectionLimit(configuration),
            user: user
        )
        worker.tell(.orders, orders.encoded())
        worker.tell(.configuration, bundle.encoded())
        worker.tell(.metrics, copyOf: worker.pageDescriptor.raw)
        worker.tell(.ticketKeys, tickets.encoded())
        if let raw = accessLog?.raw { worker.tell(.accessLog, copyOf: raw) }
        for socket in sockets.descriptors(plan, slot: slot, of: configuration.workerCount) {
            var writer = WireWriter()
            writer.put(socket.index)
            worker.tell(.listener, writer.bytes, copyOf: socket.raw)
        }
        for folder in folders.descriptors {
            var writer = WireWriter()
            writer.put(folder.index)
            worker.tell(.folder, writer.bytes, copyOf: folder.raw)
        }
        for update in addresses { worker.tell(.addresses, update.encoded()) }
        for update in health { worker.tell(.health, update.encoded()) }
        worker.tell(.start)
        worker.flush(poller)
        for helper in helpers where helper.kind == .monitor { helper.add(worker) }
        return worker
    }

    /// Each client may need a descriptor of its own and one for a server; some are kept for all else.
    private func connectionLimit(_ configuration: Configuration) -> Int {
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
    func readWorker(_ worker: WorkerProcess) {
        do {
            while let message = try worker.channel.receive() {
                switch ControlKind(rawValue: message.kind) {
                case .ready: workerIsReady(worker)
                case .failed:
                    log.error("worker \(worker.slot): \(String(decoding: message.payload, as: UTF8.self))")
                case .refusal:
                    let (refusal, count) = try HopRefusal.decode(message.payload)
                    record(refusal, count: count)
                default: log.error("unexpected message \(message.kind) from worker \(worker.slot)")
                }
            }
        } catch {
            // Its death is told by a signal.
            poller.remove(worker.channel.descriptor)
        }
    }

    private func workerIsReady(_ worker: WorkerProcess) {
        guard worker.state == .starting else { return }
        worker.state = .serving
        for helper in helpers where helper.kind == .monitor { helper.serves(worker) }
        let count = workers.filter { $0.generation == worker.generation && $0.state == .serving }.count
        log.info(
            "worker \(worker.slot) serves",
            metadata: ["pid": "\(worker.process)", "generation": "\(worker.generation)"]
        )
        guard worker.generation == generation, count == slots else { return }
        log.notice("ready", metadata: ["generation": "\(generation)", "workers": "\(count)"])
        ServiceManager.notify("READY=1")
        let old = workers.filter { $0.generation < generation && $0.state != .draining }
        if !old.isEmpty { drain(old) }
        generationServes()
        sockets.close(except: plan)
        reloadIsOver()
    }

    /// Collects children that have ended.
    func reap() {
        while let (process, status) = ChildProcess.reap() {
            if let index = workers.firstIndex(where: { $0.process == process }) {
                ended(workers.remove(at: index), status)
            } else if let index = helpers.firstIndex(where: { $0.process == process }) {
                helperEnded(helpers.remove(at: index), status)
            }
        }
    }

    private func ended(_ worker: WorkerProcess, _ status: Int) {
        // What it last said may still wait in the channel.
        readWorker(worker)
        if let token = worker.token { handlers.remove(token) }
        retiredPage.absorb(worker.page, named: worker.names, as: MetricsNames(configuration))
        for helper in helpers where helper.kind == .monitor { helper.remove(worker) }
        let isExpected = worker.state == .draining || isStopping
        let how = status < 0 ? "signal \(-status)" : "status \(status)"
        if isExpected {
            log.info("worker \(worker.slot) of generation \(worker.generation) has ended", metadata: ["how": "\(how)"])
            return
        }
        record(.workerLost, ["worker": "\(worker.slot)", "how": how])
        log.error(
            "worker \(worker.slot) died; its connections are lost",
            metadata: ["how": "\(how)", "pid": "\(worker.process)"]
        )
        guard worker.generation == generation else { return }
        if worker.state == .starting, previous != nil {
            abandonGeneration()
            return
        }
        // One that dies at once would otherwise be started without pause.
        let livedLong = Self.now - worker.startedAt > 2000
        respawns.append((worker.slot, Self.now + (livedLong ? 0 : 500)))
    }

    // MARK: reload

    /// Loads the configuration again; on any error the present one stays (law 4).
    func reload() {
        guard !isStopping else { return }
        guard previous == nil else {
            log.notice("a reload is under way: the next one follows it")
            wantsReload = true
            return
        }
        ServiceManager.notifyReloading()
        // After a reload that is refused, the present configuration goes on to serve.
        defer { if previous == nil { ServiceManager.notify("READY=1") } }
        let report = Loader.load(file, keepsCertificates: true)
        guard let next = report.bundle, let configuration = try? next.configuration() else {
            log.error("reload refused, the present configuration stays:\n\(report.findings)")
            recordRefusedReload(report.findings)
            return
        }
        let plan = ListenPlan(configuration)
        let folders: OpenFolders
        do {
            folders = try OpenFolders(next, configuration)
            try sockets.open(plan, slots: configuration.workerCount)
            nextAuditLog = try openNextAuditLog(configuration)
            accessLog = try Self.openAccessLog(configuration, beside: file)
        } catch {
            log.error("reload refused, the present configuration stays: \(error)")
            recordRefusedReload("\(error)")
            sockets.close(except: self.plan)
            return
        }
        previous = Previous(bundle: bundle, configuration: self.configuration, plan: self.plan, folders: self.folders)
        if let keys = next.resources[CertificateStore.ticketKeysName] { _ = tickets.replace(decoding: keys) }
        use(next, configuration, plan, folders)
        generation += 1
        respawns = []
        log.notice("reloading", metadata: ["generation": "\(generation)"])
        if hasUnknownNames {
            awaitNames()
        } else {
            guard startGeneration() else { return }
        }
        restartHelpers()
    }

    /// False when it has been given up.
    private func startGeneration() -> Bool {
        for slot in 0..<slots {
            do { try startWorker(slot: slot) } catch {
                log.error("worker \(slot) cannot be started: \(error)")
                guard previous != nil else {
                    respawns.append((slot, Self.now + 1000))
                    continue
                }
                abandonGeneration()
                return false
            }
        }
        return true
    }

    // MARK: names

    /// Whether a server has a name that nobody has looked up yet.
    var hasUnknownNames: Bool {
        ResolverTask.names(in: configuration).contains { name in
            !addresses.contains { $0.upstream == name.upstream && $0.server == name.server }
        }
    }

    /// Lets the new generation's workers wait until the resolver has been through all names, but not for long: a client
    /// that comes to the first of them would be told that there is no server.
    func awaitNames() { namesDue = Self.now + 5000 }

    /// The resolver has been through all names, or has had its time.
    func namesAreKnown() {
        guard namesDue != nil else { return }
        namesDue = nil
        if !isStopping { _ = startGeneration() }
    }

    private func use(
        _ bundle: Bundle,
        _ configuration: Configuration,
        _ plan: ListenPlan,
        _ folders: OpenFolders
    ) {
        self.folders = folders
        addresses = ResolverTask.carry(addresses, from: self.configuration, to: configuration)
        retiredPage.rename(from: MetricsNames(self.configuration), to: MetricsNames(configuration))
        self.bundle = bundle
        self.configuration = configuration
        self.plan = plan
        forgetHealth()
    }

    /// The new generation serves, or has been given up.
    private func reloadIsOver() {
        previous = nil
        guard wantsReload else { return }
        wantsReload = false
        reload()
    }

    /// The new generation cannot serve: the old one goes on.
    private func abandonGeneration() {
        guard let old = previous else { return }
        log.error("the new configuration cannot be served, the present one stays")
        nextAuditLog = nil
        recordRefusedReload("it cannot be served")
        let failed = workers.filter { $0.generation == generation }
        // Those that serve already have clients.
        drain(failed.filter { $0.state == .serving })
        for worker in failed where worker.state == .starting {
            worker.state = .draining
            ChildProcess.end(worker.process)
        }
        namesDue = nil
        use(old.bundle, old.configuration, old.plan, old.folders)
        do { accessLog = try Self.openAccessLog(configuration, beside: file) } catch { log.error("\(error)") }
        // Workers that live still carry the old generation's number; those that follow carry the next.
        generation = workers.filter { $0.state != .draining }.map(\.generation).max() ?? generation
        sockets.close(except: plan)
        restartHelpers()
        ServiceManager.notify("READY=1")
        reloadIsOver()
    }
}

/// The configuration before the last reload, until the new one serves.
struct Previous {
    let bundle: Bundle
    let configuration: Configuration
    let plan: ListenPlan
    let folders: OpenFolders
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
