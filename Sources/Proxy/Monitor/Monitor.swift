import Bytes
import Config
import HTTP
import Platform
import Telemetry

/// The monitor process: checks servers, and answers on the admin address from pages that the workers write.
final class Monitor {
    private static let mostClients = 64
    /// How long a client may take, in milliseconds.
    private static let patience: UInt64 = 5000

    private enum Handler {
        case control
        case listener(AdminListener)
        case client(AdminConnection)
        /// By the checker's number.
        case check(Int)
    }

    private let poller: Poller
    private let configuration: Configuration
    private let checker: HealthChecker
    private var channel: ControlChannel
    private var pages: [(process: Int, page: MetricsPage)]
    private var serving: Set<Int>
    private var isStopping = false
    private var handlers = Slab<Handler>()
    private var clients = 0
    private var wheel: TimerWheel
    private let buffers = BufferPool()

    /// - Parameter listener: the admin address's, if there is one.
    init(_ setup: consuming HelperSetup, listener: AdminListener?) throws {
        poller = try Poller()
        configuration = setup.configuration
        checker = try HealthChecker(setup)
        pages = setup.pages
        serving = setup.serving
        channel = setup.takeChannel()
        wheel = TimerWheel(now: Self.now)
        if let listener { try poller.add(listener.descriptor, handlers.insert(.listener(listener)), .read) }
        try poller.add(channel.descriptor, handlers.insert(.control), .read)
    }

    private static var now: UInt64 { Clock.monotonicMicroseconds() / 1000 }

    /// Serves until the master is gone.
    func run() throws {
        // What came together with the order to start lies in the channel already: epoll would not tell of it.
        try readControl()
        try check()
        while true {
            let count = try poller.wait(milliseconds: timeout())
            for index in 0..<count { try handle(poller.event(at: index).token) }
            for token in wheel.expire(now: Self.now) { close(token) }
            try check()
        }
    }

    private func timeout() -> CInt {
        let now = Self.now
        let timers = wheel.timeout(now: now)
        let checks = checker.timeout(now: now)
        if timers < 0 { return checks }
        return checks < 0 ? timers : min(timers, checks)
    }

    private func handle(_ token: Token) throws {
        switch handlers[token] {
        case .control: try readControl()
        case .listener(let listener): try accept(listener)
        case .client(let client):
            if client.ready(poller, answer: answer) { close(token) }
        case .check(let number):
            try tell(checker.ready(number, now: Self.now, poller) { handlers.remove($0) })
        case nil: break
        }
    }

    // MARK: checks

    private func check() throws {
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
        while let accepted = try Socket.accept(from: listener.descriptor) {
            guard clients < Self.mostClients else { continue }
            let token = handlers.reserve()
            let descriptor = accepted.takeDescriptor()
            try poller.add(descriptor, token, .read)
            handlers.fill(token, .client(AdminConnection(token, descriptor, buffers)))
            clients += 1
            wheel.arm(token, deadline: Self.now + Self.patience)
        }
    }

    private func close(_ token: Token) {
        guard case .client = handlers[token] else { return }
        handlers.remove(token)
        clients -= 1
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
            case .drain: isStopping = true
            case .addresses: checker.apply(try AddressUpdate(decoding: message.payload))
            default: break
            }
        }
    }

    /// What an admin path answers.
    private func answer(_ path: String) -> AdminConnection.Answer {
        switch path {
        case "/metrics":
            return .init(
                status: 200,
                contentType: PrometheusText.contentType,
                body: PrometheusText.write(
                    pages.map(\.page),
                    upstreams: configuration.upstreams.map(\.name),
                    servers: serverLabels(),
                    databases: configuration.databases.map { .init(name: $0.name, isLegacy: $0.legacy) }
                )
            )
        case "/healthz":
            // The first page is the retired one; without a worker nothing is served.
            return pages.count > 1 ? .text(200, "ok\n") : .text(503, "no worker\n")
        case "/readyz": return readiness()
        default: return .text(404, "/metrics, /healthz and /readyz are here\n")
        }
    }

    // MARK: what is known of servers

    /// Every server, in the order of the metrics' slots.
    private func serverLabels() -> [PrometheusText.ServerLabel] {
        var slot = 0
        var labels: [PrometheusText.ServerLabel] = []
        for (upstream, settings) in configuration.upstreams.enumerated() {
            for (server, address) in settings.servers.enumerated() {
                let verdict = checker.verdict(upstream: upstream, server: server)
                let ejected = pages.reduce(0) { $0 + $1.page.value(.ejected, server: slot) }
                let isEjected = ejected > 0 && ejected >= serving.count
                labels.append(
                    .init(
                        upstream: settings.name,
                        server: address.value.description,
                        isUp: verdict?.isUp != false && !isEjected,
                        checks: verdict.map { ($0.passed, $0.failed) }
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
    private func readiness() -> AdminConnection.Answer {
        guard !serving.isEmpty else { return .text(503, "no worker serves\n") }
        if isStopping { return .text(503, "stopping\n") }
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
        return .text(canServe ? 200 : 503, (canServe ? "ready\n" : "no upstream has a server\n") + text)
    }
}

extension AdminConnection.Answer {
    static func text(_ status: Int, _ body: String) -> AdminConnection.Answer {
        .init(status: status, contentType: "text/plain", body: body)
    }
}
