import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// From one configuration to the next.
extension Master {
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
        forgetHops()
    }

    /// The new generation serves, or has been given up.
    func reloadIsOver() {
        previous = nil
        guard wantsReload else { return }
        wantsReload = false
        reload()
    }

    /// The new generation cannot serve: the old one goes on.
    func abandonGeneration() {
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
