import Bytes
import Config
import Evidence
import Platform
import TLS

/// Checks the servers of every upstream that has `health`, each at its interval.
///
/// *Ownership:* the monitor owns it, polls for it and hands on what it finds.
final class HealthChecker {
    /// One server.
    private struct Check {
        let upstream: Int
        let server: Int
        let names: (upstream: String, server: String)
        let settings: Upstream.Health
        let endpoint: Endpoint
        var context: ClientContext?
        let announcement: Announcement
        let needsHTTP2: Bool
        let request: [UInt8]
        var addresses: [SocketAddress]
        var nextAddress = 0
        var health: CheckedHealth
        var passed = 0
        var failed = 0
        /// When the next check begins, or the present one has to be over.
        var due: UInt64 = 0
        var token: Token?
        var probe: HealthProbe?
    }

    private var checks: [Check] = []

    init(_ setup: borrowing HelperSetup) throws {
        let configuration = setup.configuration
        let contexts = try Self.contexts(setup.bundle, configuration)
        for (index, upstream) in configuration.upstreams.enumerated() {
            guard let health = upstream.health else { continue }
            for (number, server) in upstream.servers.enumerated() {
                let update = setup.updates.last { $0.upstream == index && $0.server == number }
                let names = (upstream.name, server.value.description)
                let before = setup.health.last { $0.upstream == names.0 && $0.server == names.1 }
                let check = Check(
                    upstream: index,
                    server: number,
                    names: names,
                    settings: health,
                    endpoint: server.value,
                    context: contexts[index][number],
                    announcement: Announcement(upstream.sendProxy),
                    needsHTTP2: upstream.version == .http2,
                    request: Self.request(health, upstream, server.value),
                    addresses: Snapshot.addresses(of: server.value, update),
                    health: CheckedHealth(rise: health.rise, fall: health.fall, isUp: before?.isUp)
                )
                checks.append(check)
            }
        }
    }

    /// The trust of every server that is checked, by upstream.
    private static func contexts(_ bundle: Bundle, _ configuration: Configuration) throws -> [[ClientContext?]] {
        let checked = configuration.upstreams.filter { $0.health != nil }
        let store = try CertificateStore(
            bundle,
            configuration,
            only: Set(checked.compactMap { $0.clientCertificate?.value })
        )
        return try configuration.upstreams.map { upstream in
            guard upstream.health != nil else { return [] }
            return try Snapshot.context(for: upstream, bundle, store, configuration, version: upstream.version)
        }
    }

    /// Verifies servers by another trust from the next check on.
    func use(_ bundle: Bundle, _ configuration: Configuration) throws {
        let contexts = try Self.contexts(bundle, configuration)
        for index in checks.indices {
            checks[index].context = contexts[checks[index].upstream][checks[index].server]
        }
    }

    /// Milliseconds until something is due; -1 when nothing ever is.
    func timeout(now: UInt64) -> CInt {
        guard let next = checks.map(\.due).min() else { return -1 }
        return next <= now ? 0 : CInt(clamping: next - now)
    }

    /// What is known of a server: whether it is up, and how many checks it passed and failed; nil when it is not
    /// checked.
    func verdict(upstream: Int, server: Int) -> (isUp: Bool?, passed: Int, failed: Int)? {
        guard let check = checks.first(where: { $0.upstream == upstream && $0.server == server }) else { return nil }
        return (check.health.isUp, check.passed, check.failed)
    }

    /// New addresses of a server's name.
    func apply(_ update: AddressUpdate) {
        for index in checks.indices where checks[index].upstream == update.upstream {
            guard checks[index].server == update.server else { continue }
            checks[index].addresses = Snapshot.addresses(of: checks[index].endpoint, update)
            checks[index].nextAddress = 0
            // The first check does not wait for an interval.
            if checks[index].health.isUp == nil, checks[index].token == nil { checks[index].due = 0 }
        }
    }

    /// Ends checks that take too long and begins those that are due.
    ///
    /// - Parameter register: names a check to the poller's slab.
    /// - Returns: which servers' state has changed.
    func tend(
        now: UInt64,
        _ poller: Poller,
        _ buffers: BufferPool,
        register: (Int) -> Token,
        remove: (Token) -> Void
    ) -> [HealthUpdate] {
        var updates: [HealthUpdate] = []
        for index in checks.indices where checks[index].due <= now {
            if let token = checks[index].token {
                remove(token)
                let reason = "no answer within \(checks[index].settings.timeout) ms"
                updates += end(index, .failed(reason), now)
                continue
            }
            guard !checks[index].addresses.isEmpty else {
                // Without an address nobody is sent there anyway.
                checks[index].due = now + checks[index].settings.interval
                continue
            }
            let token = register(index)
            checks[index].token = token
            checks[index].due = now + checks[index].settings.timeout
            do throws(Errno) { try begin(index, token, poller, buffers) } catch {
                remove(token)
                updates += end(index, .failed("\(error)"), now)
            }
        }
        return updates
    }

    /// Goes on with a check.
    func ready(_ index: Int, now: UInt64, _ poller: Poller, remove: (Token) -> Void) -> [HealthUpdate] {
        guard let probe = checks[index].probe, let token = checks[index].token else { return [] }
        let outcome = probe.ready(poller)
        if outcome == .goesOn { return [] }
        remove(token)
        return end(index, outcome, now)
    }

    private func begin(_ index: Int, _ token: Token, _ poller: Poller, _ buffers: BufferPool) throws(Errno) {
        let addresses = checks[index].addresses
        let address = addresses[checks[index].nextAddress % addresses.count]
        let attempt = try Socket.connect(to: address)
        let descriptor = attempt.takeDescriptor()
        try poller.add(descriptor, token, .write)
        checks[index].probe = HealthProbe(
            checks[index].settings,
            context: checks[index].context,
            address: address,
            announcing: checks[index].announcement,
            endpoint: checks[index].server,
            needsHTTP2: checks[index].needsHTTP2,
            request: checks[index].request,
            transport: Transport(token: token, descriptor: descriptor, tls: nil, pool: buffers, interest: .write),
            pool: buffers
        )
    }

    private func end(_ index: Int, _ outcome: HealthProbe.Outcome, _ now: UInt64) -> [HealthUpdate] {
        checks[index].probe = nil
        checks[index].token = nil
        let interval = checks[index].settings.interval
        // The first checks run at once; from then on those of many servers are spread over the interval.
        let isFirst = checks[index].passed + checks[index].failed == 0
        checks[index].due = now + (isFirst ? interval * UInt64(index % 16 + 1) / 16 : interval)
        var reason = "check passed"
        if case .failed(let why) = outcome {
            reason = why
            checks[index].failed += 1
            checks[index].nextAddress += 1
        } else {
            checks[index].passed += 1
        }
        guard checks[index].health.record(passed: outcome == .passed) else { return [] }
        let names = checks[index].names
        return [
            HealthUpdate(
                upstream: names.upstream,
                server: names.server,
                isUp: checks[index].health.isUp ?? true,
                reason: reason
            )
        ]
    }

    /// What is sent: nothing that tells more than a check.
    private static func request(_ health: Upstream.Health, _ upstream: Upstream, _ server: Endpoint) -> [UInt8] {
        var host = health.host ?? upstream.serverName ?? server.hostName ?? "localhost"
        if host.utf8.contains(0x3A) { host = "[\(host)]" }
        let text =
            "\(health.method.rawValue) \(health.path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: everyhop-health\r\n"
            + "Accept: */*\r\nConnection: close\r\n\r\n"
        return Array(text.utf8)
    }
}
