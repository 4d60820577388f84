import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// From one generation to the next.
///
/// Until the new one serves, nothing that the old one uses is touched: its logs, ticket keys, counts, helpers and the
/// modes of its sockets' files stay.
extension Master {
    /// Begins to serve another configuration, which the loader has found good.
    func beginGeneration(_ next: Bundle, _ configuration: Configuration) {
        namesDue = nil
        let plan = ListenPlan(configuration)
        let folders: OpenFolders
        let before = sockets.counts
        do {
            folders = try OpenFolders(next, configuration)
            nextAuditLog = try openNextAuditLog(configuration)
            nextAccessLog = try Self.openAccessLog(configuration, beside: file)
            try sockets.open(plan, slots: configuration.workerCount)
        } catch {
            dropPrepared()
            sockets.close(except: self.plan)
            shareOut(since: before)
            return refuseReload("\(error)")
        }
        previous = Previous(
            generation: generation,
            bundle: bundle,
            configuration: self.configuration,
            plan: self.plan,
            folders: self.folders,
            addresses: addresses,
            sockets: before
        )
        changes.ticketKeys = next.resources[CertificateStore.ticketKeysName]
        changes.workerFailure = nil
        addresses = ResolverTask.carry(addresses, from: self.configuration, to: configuration)
        use(next, configuration, plan, folders)
        generation += 1
        log.notice("reloading", metadata: ["generation": "\(generation)"])
        if hasUnknownNames {
            awaitNames()
            start(.resolver)
        } else {
            _ = startGeneration()
        }
    }

    private func dropPrepared() {
        nextAuditLog = nil
        nextAccessLog = nil
        changes.ticketKeys = nil
    }

    /// False when it has been given up.
    private func startGeneration() -> Bool {
        for slot in 0..<slots {
            do { try startWorker(slot: slot, of: generation) } catch {
                log.error("worker \(slot) cannot be started: \(error)")
                guard previous != nil else {
                    respawns.append(Respawn(slot: slot, generation: generation, at: Self.now + 1000))
                    continue
                }
                changes.workerFailure = "\(error)"
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
        self.bundle = bundle
        self.configuration = configuration
        self.plan = plan
    }

    // MARK: the outcome

    /// Every worker of the present generation serves: it takes over.
    func generationIsReady() {
        let isReload = previous != nil
        Priority.pause()
        if isReload { takeOver() }
        Priority.pause()
        log.notice("ready", metadata: ["generation": "\(generation)", "workers": "\(slots)"])
        ServiceManager.notify("READY=1")
        let old = workers.filter { $0.generation < generation && $0.state != .draining }
        if !old.isEmpty { drain(old) }
        Priority.pause()
        respawns.removeAll { $0.generation < generation }
        generationServes()
        sockets.close(except: plan)
        previous = nil
        changes.asked = bundle
        Priority.pause()
        endReload(.done("generation \(generation) serves"))
    }

    /// What the old generation has used becomes the new one's.
    private func takeOver() {
        accessLog = nextAccessLog.take()
        if let keys = changes.ticketKeys, !tickets.replace(decoding: keys) { log.error("the ticket keys are no keys") }
        changes.ticketKeys = nil
        retiredPage.rename(from: changes.retiredNames, to: MetricsNames(configuration))
        changes.retiredNames = MetricsNames(configuration)
        forgetHealth()
        forgetHops()
        forgetIssuance()
        sockets.setModes(plan)
        restartHelpers()
    }

    /// The new generation cannot serve: the old one goes on.
    func abandonGeneration() {
        guard let old = previous else { return }
        let reason = changes.workerFailure ?? "its workers do not serve"
        log.error("the new configuration cannot be served, the present one stays: \(reason)")
        retiredPage.add(.reloadsRefused)
        dropPrepared()
        recordRefusedReload("it cannot be served: \(reason)")
        let failed = workers.filter { $0.generation == generation }
        // Those that serve already have clients.
        drain(failed.filter { $0.state == .serving })
        for worker in failed where worker.state == .starting {
            worker.state = .draining
            end(worker)
        }
        namesDue = nil
        endHelpers(of: generation)
        use(old.bundle, old.configuration, old.plan, old.folders)
        addresses = old.addresses
        previous = nil
        generation = old.generation
        respawns.removeAll { $0.generation != generation }
        sockets.close(except: plan)
        shareOut(since: old.sockets)
        for slot in 0..<slots where !workers.contains(where: { $0.slot == slot && $0.state != .draining }) {
            if respawns.contains(where: { $0.slot == slot }) { continue }
            respawns.append(Respawn(slot: slot, generation: generation, at: Self.now))
        }
        startHelpers()
        ServiceManager.notify("READY=1")
        endReload(.refused("the new configuration cannot be served: \(reason)"))
    }

    /// The kernel gives clients to sockets that were opened for workers that never came, too: those that live take them.
    private func shareOut(since counts: [ListenEntry: Int]) {
        for worker in workers where worker.generation == generation && worker.state != .draining {
            for socket in sockets.descriptors(plan, slot: worker.slot, of: slots, beyond: counts) {
                var writer = WireWriter()
                writer.put(socket.index)
                worker.tell(.listener, writer.bytes, copyOf: socket.raw)
            }
            worker.flush(poller)
        }
    }
}

/// The configuration before the last reload, until the new one serves.
struct Previous {
    let generation: Int
    let bundle: Bundle
    let configuration: Configuration
    let plan: ListenPlan
    let folders: OpenFolders
    var addresses: [AddressUpdate]
    /// How many sockets each address had.
    let sockets: [ListenEntry: Int]
}
