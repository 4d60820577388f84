import Config
import Platform

/// What the messages between the master and its children say.
enum ControlKind: UInt8 {
    // Master to worker, before it starts.
    /// Slot, connection limit, user and group: a `WorkerOrders`.
    case orders = 1
    /// An encoded `Bundle`.
    case configuration
    /// The metrics page, by descriptor.
    case metrics
    /// Where the access log goes, by descriptor; also later, after a log rotation.
    case accessLog
    /// A listening socket, by descriptor, with its place in the `ListenPlan`.
    case listener
    /// A folder whose files are served, by descriptor, with its place in `Configuration.folders`.
    case folder
    /// Session ticket keys; also later, after a rotation.
    case ticketKeys
    /// A server's addresses: an `AddressUpdate`; also later.
    case addresses
    /// Everything has been sent: begin.
    case start

    // Master to worker, later.
    /// Take nothing new, finish what is under way, end: a `DrainOrder`.
    case drain

    /// What health checks say about a server: a `HealthUpdate`, also before the start; and from the monitor.
    case health

    /// A folder must not be served any more: a `FolderLoss`; and from the watcher.
    case folderGone

    // Child to master.
    /// The child serves.
    case ready
    /// The child cannot serve; the payload says why.
    case failed

    /// A worker has refused a hop: a `HopRefusal` and how often.
    case refusal
    /// The monitor was asked for its page: how often since it last told.
    case adminAccess

    // Master to monitor and prober.
    /// A worker's metrics page, by descriptor, with an identifying number.
    case page
    /// A worker's page is folded into the first one.
    case pageGone

    // Prober to master, and from there to the monitor.
    /// What a look at a hop has shown: a `HopUpdate`, also before the start.
    case hop

    // Master to monitor.
    /// The newest audit report, by descriptor, with its name; without either when there is none or it cannot be opened,
    /// the payload being an `HopMap.Audit.State`.
    case auditReport

    // Master to monitor.
    /// Take no more clients, answer those that are there, end.
    case finish = 90

    // Child to master, before it is ready, and from there to the monitor.
    /// Which layers of its sandbox a child has put on: a `Sandbox.Report`.
    case sandbox = 60

    // Master to worker, and to monitor and prober, who do not answer.
    /// Certificates and trust to be made ready: a number and an encoded `Bundle`.
    case replacement = 40
    /// They are used from now on: the number.
    case replacementUse
    /// They are not: the number.
    case replacementDrop
    // Worker to master.
    /// They can be used: the number.
    case replacementReady
    /// They cannot: the number and the reason.
    case replacementRefused
    /// They are used: the number.
    case replacementDone

    // Stapler to master, and from there to workers, the monitor and later staplers.
    /// What an authority says of a certificate: a `StapleUpdate`, also before the start.
    case staple = 70

    // Master to monitor.
    /// Until when certificates and lists are good: a count, and as many of `ExpiringItem`.
    case expiry = 71

    // Issuer to master, and from there to workers and monitor.
    /// What authorities are to be shown: a `ProofTable`; to workers also before the start.
    case proofs = 80
    /// Every worker, or this one, shows the proofs of a version; and from the master to the issuer.
    case proofsShown = 81
    /// How it is with a certificate: an `IssuanceUpdate`, to the monitor also before the start.
    case issuance = 82
    /// Something to keep in the folder of the server's state: a `KeptPart`.
    case keep = 83
    /// It is kept; the payload says why not, if it is not.
    case kept = 84

    // Master to any child that has started, and back.
    /// Is it still there?
    case ping = 50
    /// It is.
    case pong
    // Master to worker.
    /// A listening socket of a slot that has no worker now, by descriptor: a `LentSocket`.
    case lend
    /// A slot has a worker again: its sockets are that one's alone.
    case takeBack
    // Master to the program that takes over.
    /// What it begins with: an `Inheritance`.
    case inheritance
    /// A listening socket, by descriptor: an `InheritedSocket`.
    case inheritedSocket
    /// What has been counted: a `MetricsTally`.
    case counts
    /// The place is the new program's; with a byte if the configuration is to be loaded again.
    case takeOver
    /// What belongs into the audit log.
    case auditEntry

    // Master to the signer, and to those who ask it; also later.
    /// A socket between the two, by descriptor.
    case signer = 61
    /// To the signer: the private keys that there are now.
    case signerKeys
}

/// Who a worker is and what it may hold.
struct WorkerOrders {
    var slot: Int
    var generation: Int
    var connectionLimit: Int
    /// The master's niceness.
    var niceness: Int32
    /// The user and group to become, or nil to stay.
    var user: (user: UInt32, group: UInt32)?

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(slot)
        writer.put(generation)
        writer.put(connectionLimit)
        writer.put(Int(niceness))
        writer.put(user == nil ? 0 : 1)
        writer.put(Int(user?.user ?? 0))
        writer.put(Int(user?.group ?? 0))
        return writer.bytes
    }

    init(slot: Int, generation: Int, connectionLimit: Int, user: (user: UInt32, group: UInt32)?) {
        self.slot = slot
        self.generation = generation
        self.connectionLimit = connectionLimit
        niceness = Priority.niceness
        self.user = user
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        slot = try reader.int()
        generation = try reader.int()
        connectionLimit = try reader.int()
        niceness = Int32(truncatingIfNeeded: try reader.int())
        let changes = try reader.int() == 1
        let user = UInt32(truncatingIfNeeded: try reader.int())
        let group = UInt32(truncatingIfNeeded: try reader.int())
        self.user = changes ? (user, group) : nil
    }
}

/// The addresses that a server's name has now.
struct AddressUpdate: Equatable {
    /// The upstream's place; behind the last upstream come the databases.
    var upstream: Int
    var server: Int
    /// IP addresses in text form; the port is the configuration's.
    var addresses: [String]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(upstream)
        writer.put(server)
        writer.put(addresses.count)
        for address in addresses { writer.put(address) }
        return writer.bytes
    }

    init(upstream: Int, server: Int, addresses: [String]) {
        self.upstream = upstream
        self.server = server
        self.addresses = addresses
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        upstream = try reader.int()
        server = try reader.int()
        addresses = []
        for _ in 0..<(try reader.count()) { addresses.append(try reader.text()) }
    }
}

/// What health checks say about a server; by name, so that it holds beyond a reload.
struct HealthUpdate: Equatable {
    /// The upstream's name.
    var upstream: String
    /// The server, as the configuration has it.
    var server: String
    var isUp: Bool
    /// What the last check found, for the log.
    var reason: String

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(upstream)
        writer.put(server)
        writer.put(isUp ? 1 : 0)
        writer.put(reason)
        return writer.bytes
    }

    init(upstream: String, server: String, isUp: Bool, reason: String) {
        self.upstream = upstream
        self.server = server
        self.isUp = isUp
        self.reason = reason
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        upstream = try reader.text()
        server = try reader.text()
        isUp = try reader.int() == 1
        reason = try reader.text()
    }
}

/// How long a worker that drains may take, in milliseconds.
struct DrainOrder: Equatable {
    /// For requests.
    var requests: UInt64
    /// For database sessions.
    var sessions: UInt64
    /// For clients that ask nothing, and have not been told that they should go.
    var idle: UInt64

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(Int(clamping: requests))
        writer.put(Int(clamping: sessions))
        writer.put(Int(clamping: idle))
        return writer.bytes
    }

    /// - Parameter isStopping: whether somebody waits for the end.
    init(_ server: Config.Server, isStopping: Bool) {
        requests = server.drain
        // Sessions of databases may be as old as the application.
        sessions = isStopping ? server.drain : server.drainSessions
        // A client that is ended nevertheless has the rest of the time to see it.
        let rest = min(Linger.time, server.drain / 2)
        idle = isStopping ? rest : server.drain - rest
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        requests = UInt64(clamping: try reader.int())
        sessions = UInt64(clamping: try reader.int())
        idle = UInt64(clamping: try reader.int())
    }
}
