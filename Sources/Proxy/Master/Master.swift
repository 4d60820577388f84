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

    let file: String
    let poller: Poller
    let log: Logger
    let sockets = ListeningSockets()
    var folders: OpenFolders
    var handlers = Slab<Handler>()
    /// What new workers are started with.
    var bundle: Bundle
    var configuration: Configuration
    var plan: ListenPlan
    var generation = 1
    var workers: [WorkerProcess] = []
    var helpers: [HelperProcess] = []
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
    /// What they looked like right before they were read last, by path.
    var seen: [String: FileSignature]
    /// Helpers to start again, and when.
    var lateHelpers: [(kind: HelperProcess.Kind, at: UInt64)] = []
    private let signals: SignalDescriptor
    /// Until when the workers of a generation wait for the first look-up of its servers' names; nil when none does.
    var namesDue: UInt64?
    /// Slots to fill again, and when, in monotonic milliseconds.
    var respawns: [(slot: Int, at: UInt64)] = []
    /// The last generation of which all workers have served.
    var servedGeneration = 0
    private var nextRotation: UInt64
    let descriptorLimit: Int
    /// What was last said about the sandboxes of each kind of child.
    var sandboxLacks: [String: String] = [:]

    init(file: String) throws {
        SignalDescriptor.ignoreBrokenPipes()
        Privileges.forbidCoreDumps()
        descriptorLimit = Privileges.raiseDescriptorLimit()
        let report = Loader.load(file, keepsCertificates: true)
        guard let bundle = report.bundle else { throw Failure.configuration(report.findings) }
        self.file = file
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
            try bundle.resources[CertificateStore.ticketKeysName].flatMap { TicketKeys(decoding: $0) } ?? TicketKeys()
        poller = try Poller()
        signals = try SignalDescriptor(MasterSignal.all)
        retiredDescriptor = try File.sharedMemory("everyhop-retired", size: MetricsPage.size)
        retiredPage = try MetricsPage(descriptor: retiredDescriptor)
        nextRotation = Self.now + configuration.tls.ticketRotation
        try sockets.open(plan, slots: slots)
        accessLog = try Self.openAccessLog(configuration, beside: file)
        auditLog = try Self.openAuditLog(configuration, beside: file)
        try poller.add(signals.descriptor, handlers.insert(.signals), .read)
        if !report.findings.isEmpty { log.warning("\(report.findings)") }
    }

    /// Serves until it is told to stop and every worker has ended.
    func run() throws {
        log.notice(
            "everyhop \(Version.text) starts",
            metadata: [
                "workers": "\(slots)", "addresses": "\(plan.entries.map { "\($0.address)" }.joined(separator: " "))",
                "cryptography": "\(FIPS.module)",
            ]
        )
        if hasUnknownNames {
            awaitNames()
        } else {
            for slot in 0..<slots { try startWorker(slot: slot) }
        }
        startHelpers()
        startControl()
        watchFiles()
        while !(isStopping && workers.isEmpty) {
            let count = try poller.wait(milliseconds: timeout())
            for index in 0..<count { try handle(poller.event(at: index).token) }
            tend()
        }
        for helper in helpers { helper.end() }
        record(.stop)
        sockets.removeFiles()
    }

    /// How many workers serve at a time.
    var slots: Int { configuration.workerCount }

    static var now: UInt64 { Clock.monotonicMicroseconds() / 1000 }

    // MARK: events

    private func timeout() -> Int32 {
        var next = nextRotation
        for respawn in respawns { next = min(next, respawn.at) }
        for helper in lateHelpers { next = min(next, helper.at) }
        if keepsReports { next = min(next, report.nextLook) }
        next = min(next, expiry.nextLook)
        for worker in workers { if let drainedBy = worker.drainedBy { next = min(next, drainedBy) } }
        if let namesDue { next = min(next, namesDue) }
        next = min(next, nextTending)
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
        case nil: break
        }
    }

    private func take(_ signal: MasterSignal?) {
        switch signal {
        case .terminate, .interrupt: stop()
        case .reload: reload()
        case .reopen: reopenLogs()
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
            do { try startWorker(slot: respawn.slot) } catch {
                log.error("worker \(respawn.slot) cannot be started: \(error)")
                respawns.append((respawn.slot, now + 1000))
            }
        }
        for worker in workers {
            guard let drainedBy = worker.drainedBy, now >= drainedBy else { continue }
            worker.drainedBy = nil
            log.warning("worker \(worker.slot) of generation \(worker.generation) did not finish in time: ended")
            ChildProcess.end(worker.process)
        }
        for worker in workers where worker.channel.hasOutgoing { worker.flush(poller) }
        for helper in helpers where helper.channel.hasOutgoing { helper.flush(poller) }
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
    private func stop() {
        if isStopping {
            for worker in workers { ChildProcess.end(worker.process) }
            return
        }
        isStopping = true
        respawns = []
        ServiceManager.notify("STOPPING=1")
        log.notice("stopping: finishing what is under way", metadata: ["at most": "\(configuration.server.drain) ms"])
        for helper in helpers where helper.kind == .monitor { helper.tell(.drain) }
        drain(workers)
    }

    func drain(_ list: [WorkerProcess]) {
        let server = configuration.server
        // Whoever stops the program waits for it; sessions of databases may be as old as the application.
        let order = DrainOrder(requests: server.drain, sessions: isStopping ? server.drain : server.drainSessions)
        for worker in list {
            worker.state = .draining
            worker.tell(.drain, order.encoded())
            worker.drainedBy = Self.now + max(order.requests, order.sessions) + 1000
        }
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
    case terminate = 15
    case child = 17

    static var all: [Int32] { allCases.map(\.rawValue) }
}
