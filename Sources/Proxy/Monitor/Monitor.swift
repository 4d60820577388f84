import Bytes
import Config
import Evidence
import HTTP
import Platform
import TLS
import Telemetry

/// The monitor process: checks servers, and answers on the admin address from pages that the workers write and from what
/// the prober has seen.
final class Monitor {
    private static let mostClients = 64
    /// Those of them that may listen to events: the others are kept for metrics.
    private static let mostListeners = 16
    /// How long a client may take, in milliseconds.
    static let patience: UInt64 = 5000

    private enum Handler {
        case control
        case listener(AdminListener)
        case client(AdminConnection)
        /// By the checker's number.
        case check(Int)
    }

    private let poller: Poller
    private(set) var configuration: Configuration
    /// Which monitor this is; another one may have other hops.
    let identity = String(UInt64.random(in: 0...UInt64.max), radix: 36)
    private let checker: HealthChecker
    private var channel: ControlChannel
    private(set) var pages: [(process: Int, page: MetricsPage)]
    private(set) var serving: Set<Int>
    /// What was last seen of each hop.
    var glances: [HopKey: Glance] = [:]
    /// What the master's children told of their sandboxes; some may have ended.
    var confined: [ConfinedProcess] = []
    private(set) var audit: HopMap.Audit
    /// What authorities say of certificates, by fingerprint.
    private var staples: [String: StapleUpdate] = [:]
    /// Until when certificates and lists are good.
    private var expiring: [ExpiringItem] = []
    /// What is known of certificates that authorities issue.
    private var issuance: [IssuanceUpdate]
    private(set) var rates = RateWindow()
    private var isStopping = false
    /// Whether another monitor takes its clients from now on.
    private var isFinishing = false
    private var listening: Token?
    private var handlers = Slab<Handler>()
    /// The longest there first.
    private var clients: [Token] = []
    private var listeners: [Token] = []
    /// How often the page was asked for since the master was last told, and when it may be told again.
    private var lookers = 0
    private var nextTold: UInt64 = 0
    private var wheel: TimerWheel
    private let buffers = BufferPool()

    init(_ setup: consuming HelperSetup) throws {
        poller = try Poller()
        configuration = setup.configuration
        checker = try HealthChecker(setup)
        pages = setup.pages
        serving = setup.serving
        audit = setup.audit
        issuance = setup.issuance
        let seen = setup.hops
        let listener = setup.takeListener()
        channel = setup.takeChannel()
        wheel = TimerWheel(now: Self.now)
        for update in seen { apply(update) }
        if let listener {
            let token = handlers.insert(.listener(listener))
            listening = token
            try poller.add(listener.descriptor, token, .read)
        }
        try poller.add(channel.descriptor, handlers.insert(.control), .read)
    }

    static var now: UInt64 { Clock.monotonicMicroseconds() / 1000 }

    /// Serves until the master is gone, or has another monitor.
    func run() throws {
        try channel.send(kind: ControlKind.ready.rawValue)
        // What came together with the order to start lies in the channel already: epoll would not tell of it.
        try readControl()
        try check()
        while !isFinishing || !clients.isEmpty {
            let count = try poller.wait(milliseconds: timeout())
            for index in 0..<count { try handle(poller.event(at: index).token) }
            for token in wheel.expire(now: Self.now) { expired(token) }
            tick()
            try tellOfLookers()
            try check()
        }
    }

    private func timeout() -> CInt {
        let now = Self.now
        var next = rates.due <= now ? 0 : CInt(clamping: rates.due - now)
        let checks = isFinishing ? -1 : checker.timeout(now: now)
        for timeout in [wheel.timeout(now: now), checks] where timeout >= 0 {
            next = min(next, timeout)
        }
        return next
    }

    /// Once a second: what has been counted, and those who listen.
    private func tick() {
        let now = Self.now
        guard now >= rates.due else { return }
        rates.add(sample())
        guard !listeners.isEmpty, let event = event() else { return }
        for token in listeners {
            guard case .client(let client) = handlers[token] else { continue }
            if client.tell(event, deadline: now + Self.patience, poller) { close(token) }
        }
    }

    private func handle(_ token: Token) throws {
        switch handlers[token] {
        case .control: try readControl()
        case .listener(let listener): try accept(listener)
        case .client(let client):
            if client.ready(poller, reply: { reply($0, to: token) }) { close(token) }
        case .check(let number):
            let updates = checker.ready(number, now: Self.now, poller) { handlers.remove($0) }
            if !isFinishing { try tell(updates) }
        case nil: break
        }
    }

    /// For the audit log: at once, and then once a minute at most.
    private func tellOfLookers() throws {
        guard lookers > 0, !isFinishing, Self.now >= nextTold else { return }
        nextTold = Self.now + 60_000
        var writer = WireWriter()
        writer.put(lookers)
        lookers = 0
        try channel.send(kind: ControlKind.adminAccess.rawValue, writer.bytes)
        try channel.flushWaiting()
    }

    // MARK: checks

    private func check() throws {
        // Another one's checks count by now.
        guard !isFinishing else { return }
        try tell(
            checker.tend(now: Self.now, poller, buffers) {
                handlers.insert(.check($0))
            } remove: {
                handlers.remove($0)
            }
        )
    }

    private func tell(_ updates: [HealthUpdate]) throws {
        for update in updates { try channel.send(kind: ControlKind.health.rawValue, update.encoded()) }
        // Some lines once in a while: waiting for room is shorter than what the master does meanwhile.
        if channel.hasOutgoing { try channel.flushWaiting() }
    }

    // MARK: the admin address

    private func accept(_ listener: AdminListener) throws {
        // A batch at a time: whoever has come asks before others can push it out.
        for _ in 0..<Self.mostClients / 4 {
            guard let accepted = try Socket.accept(from: listener.descriptor) else { return }
            guard clients.count < Self.mostClients || makeRoom() else { continue }
            let token = handlers.reserve()
            let descriptor = accepted.takeDescriptor()
            try poller.add(descriptor, token, .read)
            let deadline = Self.now + Self.patience
            handlers.fill(token, .client(AdminConnection(token, descriptor, buffers, deadline: deadline)))
            clients.append(token)
            wheel.arm(token, deadline: deadline)
        }
    }

    /// Leaves new clients to the next monitor; who listens to events comes again by itself.
    private func finish() {
        isFinishing = true
        // The master has the same socket open: closing it would not end the watching.
        if let listening, case .listener(let listener) = handlers[listening] {
            poller.remove(listener.descriptor)
            handlers.remove(listening)
        }
        for token in listeners { close(token) }
    }

    private func close(_ token: Token) {
        guard case .client = handlers[token] else { return }
        handlers.remove(token)
        listeners.removeAll { $0 == token }
        clients.removeAll { $0 == token }
    }

    /// Who has been there longest without asking goes, so that silence keeps no health check out; whoever is being
    /// answered stays.
    private func makeRoom() -> Bool {
        let oldest = clients.first {
            guard case .client(let client) = handlers[$0] else { return false }
            return client.isAsking
        }
        if let oldest { close(oldest) }
        return oldest != nil
    }

    /// One that has not taken an event for so long is too slow, or gone.
    private func expired(_ token: Token) {
        guard case .client(let client) = handlers[token] else { return }
        if client.deadline <= Self.now { close(token) } else { wheel.arm(token, deadline: client.deadline) }
    }

    /// What a request is answered.
    private func reply(_ request: AdminRequest, to token: Token) -> AdminConnection.Reply {
        guard request.path == "/events" else { return .answer(answer(request.path)) }
        guard !isFinishing, listeners.count < Self.mostListeners, let event = event() else {
            return .answer(AdminAnswer(status: 503, fields: "Retry-After: 10\r\n", body: "too many listen already\n"))
        }
        listeners.append(token)
        lookers += 1
        return .events(event)
    }

    /// The map as a server-sent event.
    private func event() -> [UInt8]? {
        guard let json = try? map().json() else { return nil }
        return Array("data: ".utf8) + json + Array("\n\n".utf8)
    }

    private func readControl() throws {
        while var message = try channel.receive() {
            var reader = WireReader(message.payload)
            switch ControlKind(rawValue: message.kind) {
            case .page:
                let process = try reader.int()
                if let descriptor = message.takeDescriptor() {
                    pages.append((process, try MetricsPage(descriptor: descriptor)))
                }
            case .pageGone:
                let process = try reader.int()
                pages.removeAll { $0.process == process }
                serving.remove(process)
            case .ready: serving.insert(try reader.int())
            case .signer: RemoteKeys.ask(message.takeDescriptor())
            case .drain: isStopping = true
            case .finish: finish()
            case .replacement:
                // One that cannot use it ends, and another one begins with it.
                let bundle = try Bundle(decoding: try ReplacementMessage(decoding: message.payload).content)
                configuration = try bundle.configuration()
                try checker.use(bundle, configuration)
            case .ping: try channel.send(kind: ControlKind.pong.rawValue)
            case .addresses: checker.apply(try AddressUpdate(decoding: message.payload))
            case .hop: apply(try HopUpdate(decoding: message.payload))
            case .sandbox: confined = try ConfinedProcess.read(json: message.payload)
            case .staple:
                let update = try StapleUpdate(decoding: message.payload)
                staples[update.fingerprint] = update
            case .expiry:
                expiring = []
                for _ in 0..<(try reader.count()) { expiring.append(try ExpiringItem(from: &reader)) }
            case .issuance:
                let update = try IssuanceUpdate(decoding: message.payload)
                issuance.removeAll { $0.name == update.name }
                issuance.append(update)
            case .auditReport:
                let descriptor = message.takeDescriptor()
                audit = HopMap.Audit(message.payload, descriptor)
            default: break
            }
        }
    }

    /// What an admin path answers.
    private func answer(_ path: String) -> AdminAnswer {
        switch path {
        case "/":
            lookers += 1
            return HopPage(map()).answer()
        case "/hops.json":
            lookers += 1
            guard let json = try? map().json() else {
                return AdminAnswer(status: 500, body: "the map cannot be written\n")
            }
            return AdminAnswer(contentType: "application/json", body: String(decoding: json, as: UTF8.self) + "\n")
        case "/metrics": return AdminAnswer(contentType: PrometheusText.contentType, body: metrics())
        case "/healthz":
            // The first page is the retired one; without a worker nothing is served.
            return pages.count > 1 ? AdminAnswer(body: "ok\n") : AdminAnswer(status: 503, body: "no worker\n")
        case "/readyz": return readiness()
        default:
            return AdminAnswer(status: 404, body: "/, /hops.json, /events, /metrics, /healthz and /readyz are here\n")
        }
    }

    private func metrics() -> String {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        return PrometheusText.write(
            pages.map(\.page),
            upstreams: configuration.upstreams.map(\.name),
            servers: serverLabels(),
            databases: configuration.databases.map { .init(name: $0.name, isLegacy: $0.legacy) }
        ) + HopMetrics.write(configuration.hopKeys.map { ($0, glances[$0]) }, audit)
            + StapleMetrics.write(Array(staples.values), now: now) + ExpiryMetrics.write(expiring, now: now)
            + IssuanceMetrics.write(issuance)
    }

    // MARK: what is known of servers

    /// How a server is, as far as this process knows.
    enum Health: String {
        case up
        case down
        case ejected
        /// Nothing checks it, and no worker has left it out.
        case unchecked
    }

    /// - Parameter slot: the server's place in the metrics.
    func health(upstream: Int, server: Int, slot: Int) -> Health {
        let verdict = checker.verdict(upstream: upstream, server: server)
        if verdict?.isUp == false { return .down }
        let ejected = pages.reduce(0) { $0 + $1.page.value(.ejected, server: slot) }
        if ejected > 0 && ejected >= serving.count { return .ejected }
        return verdict?.isUp == true ? .up : .unchecked
    }

    /// Every server, in the order of the metrics' slots.
    private func serverLabels() -> [PrometheusText.ServerLabel] {
        var slot = 0
        var labels: [PrometheusText.ServerLabel] = []
        for (upstream, settings) in configuration.upstreams.enumerated() {
            for (server, address) in settings.servers.enumerated() {
                let health = health(upstream: upstream, server: server, slot: slot)
                labels.append(
                    .init(
                        upstream: settings.name,
                        server: address.value.description,
                        isUp: health != .down && health != .ejected,
                        checks: checker.verdict(upstream: upstream, server: server).map { ($0.passed, $0.failed) }
                    )
                )
                slot += 1
            }
        }
        return labels
    }

    /// Whether clients should be sent here: somebody serves, and not every upstream is down by the word of its checks.
    ///
    /// Ejections are told and do not count: they end by themselves, and while they last the servers are still tried.
    private func readiness() -> AdminAnswer {
        guard !serving.isEmpty else { return AdminAnswer(status: 503, body: "no worker serves\n") }
        if isStopping { return AdminAnswer(status: 503, body: "stopping\n") }
        let labels = serverLabels()
        var text = ""
        var canServe = configuration.upstreams.isEmpty
        for (index, upstream) in configuration.upstreams.enumerated() {
            let all = upstream.servers.count
            let down = (0..<all).count { checker.verdict(upstream: index, server: $0)?.isUp == false }
            let up = labels.count { $0.upstream == upstream.name && $0.isUp }
            if down < all { canServe = true }
            text += "upstream \(upstream.name): \(up) of \(all) servers up"
            text += upstream.inMaintenance ? ", in maintenance\n" : "\n"
        }
        let verdict = canServe ? "ready\n" : "no upstream has a server\n"
        text += IssuanceMetrics.readiness(issuance)
        return AdminAnswer(status: canServe ? 200 : 503, body: verdict + text)
    }
}
