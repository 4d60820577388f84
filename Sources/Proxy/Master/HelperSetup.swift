import Config
import Evidence
import Platform
import TLS
import Telemetry

/// What the master hands to a monitor, prober or resolver.
struct HelperSetup: ~Copyable {
    private var channel: ControlChannel?
    let configuration: Configuration
    /// The configuration's tree with the files that checks of servers need.
    let bundle: Bundle
    /// The addresses of servers that have names.
    private(set) var updates: [AddressUpdate]
    /// What checks have found out before.
    private(set) var health: [HealthUpdate]
    /// What was seen of hops before.
    private(set) var hops: [HopUpdate]
    /// The newest audit report.
    private(set) var audit: HopMap.Audit
    /// What is known of certificates that authorities issue.
    private(set) var issuance: [IssuanceUpdate]
    /// The workers that serve.
    private(set) var serving: Set<Int>
    var pages: [(process: Int, page: MetricsPage)]
    /// The socket to answer on.
    private var listener: AdminListener?

    /// Waits for the orders, then gives up all that the plan does not name.
    ///
    /// - Parameters:
    ///   - kept: what is kept of root's power.
    ///   - plan: what this kind of child goes on to need.
    init(
        from channel: consuming ControlChannel,
        keeping kept: Set<Capability> = [],
        plan: (Configuration, Bundle) -> Sandbox.Plan
    ) throws {
        var channel = channel
        var bundle: Bundle?
        var updates: [AddressUpdate] = []
        var health: [HealthUpdate] = []
        var hops: [HopUpdate] = []
        var issuance: [IssuanceUpdate] = []
        var audit = HopMap.Audit(.notKept)
        var serving: Set<Int> = []
        var orders: WorkerOrders?
        var pages: [(process: Int, page: MetricsPage)] = []
        var listener: AdminListener?
        collecting: while true {
            var message = try channel.receiveWaiting()
            switch ControlKind(rawValue: message.kind) {
            case .orders: orders = try WorkerOrders(decoding: message.payload)
            case .configuration: bundle = try Bundle(decoding: message.payload)
            case .listener:
                if let descriptor = message.takeDescriptor() { listener = AdminListener(descriptor) }
            case .addresses: updates.append(try AddressUpdate(decoding: message.payload))
            case .health: health.append(try HealthUpdate(decoding: message.payload))
            case .hop: hops.append(try HopUpdate(decoding: message.payload))
            case .issuance: issuance.append(try IssuanceUpdate(decoding: message.payload))
            case .auditReport:
                let descriptor = message.takeDescriptor()
                audit = HopMap.Audit(message.payload, descriptor)
            case .ready:
                var reader = WireReader(message.payload)
                serving.insert(try reader.int())
            case .signer: RemoteKeys.ask(message.takeDescriptor())
            case .page:
                var reader = WireReader(message.payload)
                let process = try reader.int()
                if let descriptor = message.takeDescriptor() {
                    pages.append((process, try MetricsPage(descriptor: descriptor)))
                }
            case .pageGone:
                var reader = WireReader(message.payload)
                let process = try reader.int()
                pages.removeAll { $0.process == process }
            case .start: break collecting
            default: break
            }
        }
        guard let bundle, let orders else { throw WireReader.Malformed() }
        let configuration = try bundle.configuration()
        var report = try Sandbox.giveUp(becoming: orders.user, keeping: kept)
        TLSLibrary.prepare()
        Priority.comeBack(to: orders.niceness)
        Sandbox.confine(plan(configuration, bundle), &report)
        try channel.send(kind: ControlKind.sandbox.rawValue, report.encoded())
        self.configuration = configuration
        self.bundle = bundle
        self.updates = updates
        self.health = health
        self.hops = hops
        self.audit = audit
        self.issuance = issuance
        self.serving = serving
        self.pages = pages
        self.listener = listener
        self.channel = consume channel
    }

    /// Hands the socket over, if there is one.
    mutating func takeListener() -> AdminListener? { listener.take() }

    /// Hands the channel over; once.
    mutating func takeChannel() -> ControlChannel {
        guard let channel = channel.take() else { preconditionFailure("the channel was taken before") }
        return channel
    }
}

extension ControlChannel {
    /// For helpers to whom the master says nothing else: tells it that they are still there.
    mutating func answerPings() throws {
        while let message = try receive() {
            if message.kind == ControlKind.ping.rawValue { try send(kind: ControlKind.pong.rawValue) }
        }
    }

    /// The same for so long, in milliseconds.
    mutating func answerPings(milliseconds: UInt64) throws {
        let end = Clock.monotonicMicroseconds() / 1000 + milliseconds
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { return }
            if try waitForMaster(milliseconds: end - now) { try answerPings() }
        }
    }
}
