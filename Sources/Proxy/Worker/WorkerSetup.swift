import Config
import Platform
import TLS
import Telemetry

/// What the master hands to a new worker, collected from the control channel until it says start.
struct WorkerSetup: ~Copyable {
    private var control: ControlChannel?
    private(set) var orders: WorkerOrders
    private(set) var snapshot: Snapshot
    private(set) var metrics: MetricsPage
    private(set) var listeners: [Listener]
    private(set) var health: [HealthUpdate] = []
    /// An encoded `ProofTable`.
    private(set) var proofs: [UInt8]?
    private var accessLog: AccessLog?
    let log: WorkerLog

    /// How long a signer that begins at the same time is waited for, in milliseconds: clients wait no longer than that.
    private static let patienceWithSigner: Int32 = 5000

    /// Why a worker cannot begin.
    enum Failure: Error, CustomStringConvertible {
        case channel(Errno)
        case malformed(String)
        case privileges(Errno)
        case sandbox

        var description: String {
            switch self {
            case .channel(let error): "the master's channel broke: \(error)"
            case .malformed(let what): "the master sent no usable \(what)"
            case .privileges(let error): "cannot drop privileges: \(error)"
            case .sandbox: "a layer of the sandbox is missing, and all are required"
            }
        }
    }

    /// Waits for the master's orders, then becomes the user it names, before any byte of a client is seen.
    init(from channel: consuming ControlChannel) throws {
        var channel = channel
        var orders: WorkerOrders?
        var bundle: Bundle?
        var metrics: MetricsPage?
        var accessLog: AccessLog?
        var keys: [UInt8]?
        var sockets: [(index: Int, raw: CInt)] = []
        var folders: [(index: Int, raw: CInt)] = []
        var updates: [AddressUpdate] = []
        var staples: [StapleUpdate] = []
        collecting: while true {
            var message = try channel.receiveWaiting()
            switch ControlKind(rawValue: message.kind) {
            case .orders: orders = try WorkerOrders(decoding: message.payload)
            case .configuration: bundle = try Bundle(decoding: message.payload)
            case .metrics:
                if let descriptor = message.takeDescriptor() { metrics = try MetricsPage(descriptor: descriptor) }
            case .accessLog:
                if let descriptor = message.takeDescriptor() { accessLog = AccessLog(descriptor) }
            case .signer: RemoteKeys.ask(message.takeDescriptor())
            case .ticketKeys: keys = message.payload
            case .health: health.append(try HealthUpdate(decoding: message.payload))
            case .proofs: proofs = message.payload
            case .addresses: updates.append(try AddressUpdate(decoding: message.payload))
            case .staple: staples.append(try StapleUpdate(decoding: message.payload))
            case .listener: if let socket = try Self.numbered(&message) { sockets.append(socket) }
            case .folder: if let folder = try Self.numbered(&message) { folders.append(folder) }
            case .start: break collecting
            default: throw Failure.malformed("message \(message.kind)")
            }
        }
        guard let orders, let bundle else { throw Failure.malformed("orders or configuration") }
        guard let metrics else { throw Failure.malformed("metrics page") }
        // No folder comes later: reading is permitted beneath these, and no other file.
        let readable = folders.map { (try? KernelEncryption.plainFolder(above: $0.raw).release()) ?? $0.raw }
        var report: Sandbox.Report
        do { report = try Sandbox.giveUp(becoming: orders.user) } catch { throw Failure.privileges(error) }
        Priority.pause()
        TLSLibrary.prepare(connections: orders.connectionLimit)
        Priority.pause()
        guard let keys, let tickets = TicketKeys(decoding: keys) else { throw Failure.malformed("ticket keys") }
        let snapshot = try Snapshot(bundle, tickets: tickets, updates: updates)
        Priority.pause()
        // What follows is short, or clients' work.
        Priority.comeBack(to: orders.niceness)
        Sandbox.confine(.worker(snapshot.configuration, folders: readable), &report)
        for (above, folder) in zip(readable, folders) where above != folder.raw { _ = FileDescriptor(owning: above) }
        try channel.send(kind: ControlKind.sandbox.rawValue, report.encoded())
        try Self.check(report, snapshot.configuration, metrics)
        for update in staples { snapshot.apply(update) }
        for folder in folders {
            let descriptor = FileDescriptor(owning: folder.raw)
            if snapshot.folders.indices.contains(folder.index) { snapshot.folders[folder.index].open(descriptor) }
        }
        self.orders = orders
        self.metrics = metrics
        self.snapshot = snapshot
        log = WorkerLog(
            slot: orders.slot,
            generation: orders.generation,
            level: snapshot.configuration.log.level
        )
        if !RemoteKeys.awaitSigner(milliseconds: Self.patienceWithSigner) { log.signerIsSilent() }
        listeners = sockets.compactMap { socket in
            guard snapshot.plan.entries.indices.contains(socket.index) else { return nil }
            return Listener(FileDescriptor(owning: socket.raw), entry: snapshot.plan.entries[socket.index])
        }
        self.accessLog = accessLog
        control = consume channel
    }

    /// A descriptor with its place in the plan.
    private static func numbered(_ message: inout ControlMessage) throws -> (index: Int, raw: CInt)? {
        var reader = WireReader(message.payload)
        let index = try reader.int()
        guard let descriptor = message.takeDescriptor() else { return nil }
        return (index, descriptor.release())
    }

    private static func check(
        _ report: Sandbox.Report,
        _ configuration: Configuration,
        _ metrics: MetricsPage
    ) throws(Failure) {
        metrics.add(.sandboxLacks, report.missing.count)
        if configuration.server.requiresSandbox != nil, !report.missing.isEmpty { throw Failure.sandbox }
    }

    /// Hands the channel over; once.
    mutating func takeControl() -> ControlChannel {
        guard let channel = control.take() else { preconditionFailure("the channel was taken before") }
        return channel
    }

    /// Hands the access log over.
    mutating func takeAccessLog() -> AccessLog? { accessLog.take() }
}
