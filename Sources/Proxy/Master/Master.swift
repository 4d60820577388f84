import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// The master process: configuration, keys, listening sockets, supervision; it carries no traffic.
final class Master {
    enum Handler {
        case signals
        case worker(WorkerProcess)
        case helper(HelperProcess)
        case loader(LoadTask)
        case files
        case controlListener
        case control(ControlClient)
        case successor(Successor)
        case former(Former)
    }

    /// Why a master cannot begin.
    enum Failure: Error, CustomStringConvertible {
        /// What the operator reads.
        case configuration(String)
        case system(String)

        var description: String {
            switch self {
            case .configuration(let text), .system(let text): text
            }
        }
    }

    let options: RunOptions
    /// The configuration's path.
    var file: String { options.file }
    let poller: Poller
    let log: Logger
    let sockets = ListeningSockets()
    var folders: OpenFolders
    var handlers = Slab<Handler>()
    /// Who has more to say than was heard in the last turn.
    private var behind: [Token] = []
    /// What new workers are started with.
    var bundle: Bundle
    var configuration: Configuration
    var plan: ListenPlan
    var generation = 1
    var workers: [WorkerProcess] = []
    var helpers: [HelperProcess] = []
    /// Children that were told to end and have not yet.
    var partings: [Parting] = []
    let tickets: TicketKeys
    var accessLog: FileDescriptor?
    /// That of a configuration which does not serve yet.
    var nextAccessLog: FileDescriptor?
    /// Whether it has been said that logs cannot be opened again.
    var logsFailed = false
    /// The last addresses of every server that has a name.
    var addresses: [AddressUpdate] = []
    /// What checks have found out about servers.
    var health: [HealthUpdate] = []
    /// What was last seen of every hop.
    var hops: [HopUpdate] = []
    /// What authorities have said of certificates, by fingerprint.
    var staples: [String: StapleUpdate] = [:]
    var expiry = ExpiryWatch()
    /// What is known of certificates that authorities issue.
    var issuance = IssuanceState()
    /// The newest audit report that the monitor was told of, and when to look for a newer one.
    var report = (state: ReportState.notKept, nextLook: UInt64(0))
    /// Counts of workers that are gone.
    let retiredPage: MetricsPage
    let retiredDescriptor: FileDescriptor
    /// What auditors ask about; nil when it is not kept.
    var auditLog: AuditLog?
    /// That of a configuration which does not serve yet.
    var nextAuditLog: AuditLog?
    /// What was last written there about certificates and trust.
    var recorded = RecordedTrust()
    var isStopping = false
    /// The configuration before a reload that is not complete.
    var previous: Previous?
    /// Whether another reload was asked for meanwhile.
    var wantsReload = false
    /// What is under way, and who waits for it.
    var changes: ChangeState
    /// Who may ask for something.
    var control = ControlState()
    /// Files that are replaced when they change.
    var watch = WatchState()
    /// What those that may be replaced looked like right before they were read last, by path.
    var seen: [String: FileSignature]
    /// The program that is to take over, or has done so.
    var successor: Successor?
    var hasHandedOver = false
    /// Whether an upgrade was asked for that could not begin yet.
    var wantsUpgrade = false
    /// Commands that wait for its outcome.
    var upgradeAsking: [Token] = []
    /// The program whose place this one takes, until that has ended.
    var former: Former?
    var takesFormersPlace = false
    /// Whether the first generation has begun to serve.
    var hasBegun = false
    /// Why this program cannot take over.
    var failure: String?
    private var nextWatchdog: UInt64 = 0
    /// Helpers to start again, and when.
    var lateHelpers: [(kind: HelperProcess.Kind, at: UInt64)] = []
    private let signals: SignalDescriptor
    /// Until when the workers of a generation wait for the first look-up of its servers' names; nil when none does.
    var namesDue: UInt64?
    /// Slots to fill again.
    var respawns: [Respawn] = []
    /// Who is to live how, and what was done about those who did not.
    var supervision = Supervision()
    /// The last generation of which all workers have served.
    var servedGeneration = 0
    private var nextRotation: UInt64
    let descriptorLimit: Int
    /// The private keys of each generation that the signer holds, and those that were replaced last.
    var signerKeys: [Int: (present: [[UInt8]], before: [[UInt8]])] = [:]
    /// What was said about the sandboxes of children.
    var sandboxLacks: Set<String> = []

    /// - Parameter former: the program whose place this one takes.
    init(_ options: RunOptions, former: Former? = nil) throws {
        SignalDescriptor.ignoreBrokenPipes()
        Priority.permitComingBack()
        Privileges.forbidCoreDumps()
        Privileges.wipeFreed(true)
        descriptorLimit = Privileges.raiseDescriptorLimit()
        let report = Loader.load(options.file, keepsCertificates: true, takesOver: former != nil)
        guard let bundle = report.bundle else { throw Failure.configuration(report.findings) }
        self.options = options
        self.former = former
        self.bundle = bundle
        configuration = try bundle.configuration()
        let level = Logger.Level(rawValue: configuration.log.level) ?? .info
        log = Logger(label: "everyhop") { _ in StandardErrorLog(process: "master", level: level) }
        changes = ChangeState(configuration)
        changes.asked = bundle
        seen = report.seen
        plan = ListenPlan(configuration)
        folders = try OpenFolders(bundle, configuration)
        tickets =
            try bundle.resources[CertificateStore.ticketKeysName].flatMap { TicketKeys(decoding: $0) } ?? former?
            .tickets ?? TicketKeys()
        poller = try Poller()
        signals = try SignalDescriptor(MasterSignal.all)
        retiredDescriptor = try File.sharedMemory("everyhop-retired", size: MetricsPage.size)
        retiredPage = try MetricsPage(descriptor: retiredDescriptor)
        nextRotation = Self.now + configuration.tls.ticketRotation
        for socket in former?.sockets ?? [] {
            sockets.adopt(socket.inherited, try File.duplicate(socket.descriptor.raw))
        }
        former?.forgetSockets()
        try sockets.adoptActivated()
        try sockets.checkActivated(plan)
        if former == nil { try sockets.checkFree(plan) }
        try sockets.open(plan, slots: slots)
        accessLog = try Self.openAccessLog(configuration, beside: options.file)
        // One that is taken over is open elsewhere until then.
        if former == nil { auditLog = try Self.openAuditLog(configuration, beside: options.file) }
        try poller.add(signals.descriptor, handlers.insert(.signals), .read)
        if let former { try inherit(from: former) } else { try writePidFile() }
        if !report.findings.isEmpty { log.warning("\(report.findings)") }
    }

    /// Serves until it is told to stop and every worker has ended.
    func run() throws {
        keepNeededPrivileges()
        log.notice(
            former == nil ? "everyhop \(Version.text) starts" : "everyhop \(Version.text) is to take over",
            metadata: [
                "workers": "\(slots)", "addresses": "\(plan.entries.map { "\($0.address)" }.joined(separator: " "))",
                "cryptography": "\(FIPS.module)",
            ]
        )
        if hasUnknownNames {
            awaitNames()
        } else {
            for slot in 0..<slots { try startWorker(slot: slot, of: generation) }
        }
        startHelpers()
        startControl()
        watchFiles()
        while !isOver {
            let count = try poller.wait(milliseconds: timeout())
            let late = behind
            behind = []
            for index in 0..<count {
                try handle(poller.event(at: index).token)
                Priority.pause()
            }
            for token in late { try handle(token) }
            tend()
            if let failure { throw Failure.system(failure) }
        }
        for helper in helpers { helper.end() }
        for parting in partings { ChildProcess.end(parting.process) }
        if hasHandedOver {
            log.notice("all is handed over, and finished")
            return tellCounts()
        }
        record(.stop)
        sockets.removeFiles()
        removePidFile()
    }

    /// Whether nothing is left to do; a program before this one is waited for, since it is stopped together with it.
    private var isOver: Bool {
        (isStopping || (hasHandedOver && !isFinishing)) && workers.isEmpty && former == nil
    }

    /// How many workers serve at a time.
    var slots: Int { configuration.workerCount }

    static var now: UInt64 { Clock.monotonicMicroseconds() / 1000 }

    // MARK: events

    /// Reads on in the next turn what was not read in this one.
    func comeBack(to token: Token?) {
        if let token, !behind.contains(token) { behind.append(token) }
    }

    private func timeout() -> Int32 {
        guard behind.isEmpty else { return 0 }
        var next = nextRotation
        next = min(next, supervision.nextRound)
        for respawn in respawns { next = min(next, respawn.at) }
        for helper in lateHelpers { next = min(next, helper.at) }
        if keepsReports { next = min(next, report.nextLook) }
        next = min(next, expiry.nextLook, nextParting)
        for worker in workers { if let drainedBy = worker.drainedBy { next = min(next, drainedBy) } }
        if let namesDue { next = min(next, namesDue) }
        next = min(next, nextTending)
        if let successor, !hasHandedOver { next = min(next, successor.due) }
        if ServiceManager.watchdogInterval != nil { next = min(next, nextWatchdog) }
        let now = Self.now
        return next <= now ? 0 : Int32(clamping: min(next - now, 60_000))
    }

    private func handle(_ token: Token) throws {
        switch handlers[token] {
        case .signals:
            while let signal = signals.next() { take(MasterSignal(rawValue: signal)) }
        case .worker(let worker): readWorker(worker)
        case .helper(let helper): readHelper(helper)
        case .loader(let task): readLoader(task)
        case .files: filesMayHaveChanged()
        case .controlListener: acceptControl()
        case .control(let client): readControl(client)
        case .successor(let successor): readSuccessor(successor)
        case .former(let former): readFormer(former)
        case nil: break
        }
    }

    private func take(_ signal: MasterSignal?) {
        switch signal {
        case .terminate, .interrupt: stop()
        case .reload: reload()
        case .reopen: reopenLogs()
        case .upgrade: upgrade()
        case .child: reap()
        case nil: break
        }
    }

    /// What is due by the clock.
    private func tend() {
        let now = Self.now
        if now >= nextRotation { rotateTickets(now) }
        startLateHelpers(now)
        if let namesDue, now >= namesDue {
            log.warning("names of servers are still being looked up: their sites answer 503 until then")
            namesAreKnown()
        }
        lookForReport(now)
        tendChanges(now)
        lookAtExpiry(now)
        let due = respawns.filter { $0.at <= now }
        respawns.removeAll { $0.at <= now }
        for respawn in due where !isStopping {
            do { try startWorker(slot: respawn.slot, of: respawn.generation) } catch {
                log.error("worker \(respawn.slot) cannot be started: \(error)")
                respawns.append(Respawn(slot: respawn.slot, generation: respawn.generation, at: now + 1000))
            }
        }
        supervise()
        tendPartings(now)
        tendUpgrade(now)
        feedWatchdog(now)
        for worker in workers {
            guard let drainedBy = worker.drainedBy, now >= drainedBy else { continue }
            worker.drainedBy = nil
            log.warning("worker \(worker.slot) of generation \(worker.generation) did not finish in time: ended")
            end(worker)
        }
        for worker in workers where worker.channel.hasOutgoing { worker.flush(poller) }
        for helper in helpers where helper.channel.hasOutgoing { helper.flush(poller) }
    }

    private func tendUpgrade(_ now: UInt64) {
        if wantsUpgrade, !isChanging, servedGeneration == generation { upgrade() }
        guard let successor else { return }
        if !hasHandedOver, now >= successor.due {
            giveUp(successor, "it does not serve after \(configuration.server.upgradeTimeout) ms")
        }
        try? successor.channel.flush()
        guard let token = successor.token else { return }
        let interest: Interest = successor.channel.hasOutgoing ? [.read, .write] : .read
        try? poller.change(successor.channel.descriptor, token, interest)
    }

    /// Tells the service manager that all is well: this loop runs, and most workers answer.
    private func feedWatchdog(_ now: UInt64) {
        guard let interval = ServiceManager.watchdogInterval, now >= nextWatchdog else { return }
        nextWatchdog = now + interval
        // Before the first time that all serve, it waits for that, and has a time of its own for it.
        guard servedGeneration == 0 || isStopping || 2 * answeringSlots > slots else { return }
        ServiceManager.notify("WATCHDOG=1")
    }

    private func rotateTickets(_ now: UInt64) {
        nextRotation = now + configuration.tls.ticketRotation
        // Keys from a file are a fleet's: whoever made the file rotates it, by a reload.
        guard bundle.resources[CertificateStore.ticketKeysName] == nil else { return }
        do {
            try tickets.rotate()
            for worker in workers { worker.tell(.ticketKeys, tickets.encoded()) }
        } catch { log.error("session ticket keys were not rotated: \(error)") }
    }

    // MARK: what the operator asks for

    /// The second time, without waiting.
    func stop() {
        if let successor, !hasHandedOver { giveUp(successor, "this program was told to stop") }
        former?.tell(.drain)
        if isStopping {
            for worker in workers { end(worker) }
            return
        }
        isStopping = true
        respawns = []
        // More than it takes, so that the service manager never cuts it short.
        ServiceManager.notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=\((configuration.server.drain + 10_000) * 1000)")
        log.notice("stopping: finishing what is under way", metadata: ["at most": "\(configuration.server.drain) ms"])
        for helper in helpers where helper.kind == .monitor { helper.tell(.drain) }
        drain(workers)
    }

    func drain(_ list: [WorkerProcess]) {
        let order = DrainOrder(configuration.server, isStopping: isStopping)
        for worker in list {
            worker.state = .draining
            worker.tell(.drain, order.encoded())
            worker.drainedBy = Self.now + max(order.requests, order.sessions) + 1000
        }
    }
}

extension Master {
    /// Tells those who have no service manager whom to send signals.
    func writePidFile(naming process: Int32 = Host.process) throws {
        guard let path = options.pidFile else { return }
        do { try File.write(Array("\(process)\n".utf8), to: path, mode: 0o644) } catch {
            throw Failure.system("the pid file \(path) cannot be written: \(error.message)")
        }
    }

    /// At the end, unless it is another's by now.
    private func removePidFile() {
        guard let path = options.pidFile, (try? File.read(path)) == Array("\(Host.process)\n".utf8) else { return }
        File.remove(path)
    }
}

extension Configuration {
    /// How many workers serve at a time.
    var workerCount: Int { server.workers ?? Privileges.processorCount() }
}

/// The signals that a master acts on.
enum MasterSignal: Int32, CaseIterable {
    case reload = 1
    case interrupt = 2
    case reopen = 10
    case upgrade = 12
    case terminate = 15
    case child = 17

    static var all: [Int32] { allCases.map(\.rawValue) }
}
