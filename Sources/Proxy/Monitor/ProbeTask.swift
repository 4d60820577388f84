import Config
import Evidence
import Platform
import TLS
import Telemetry

/// The prober process: looks at one hop after the other, which may wait, and tells the master what it has seen.
struct ProbeTask: ~Copyable {
    /// So many looks at a server that counts them, without a session of an application in between, and no more.
    ///
    /// MySQL and MariaDB refuse a host after 100 connections in a row that ended before a login (`max_connect_errors`);
    /// a look is one such connection, or two when something is wrong, and others on this host may end some, too.
    static let mostLooks = 20

    private let interval: UInt64
    private var bundle: Bundle
    private var channel: ControlChannel
    private var pages: [(process: Int, page: MetricsPage)]
    /// What was seen last of servers that count looks.
    private var rationed: [String: Glance] = [:]

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws {
        var task = ProbeTask(setup)
        try task.run()
    }

    private init(_ setup: consuming HelperSetup) {
        interval = setup.configuration.audit.probeInterval ?? 60_000
        bundle = setup.bundle
        pages = setup.pages
        // A reload is another prober, and the server goes on counting.
        for update in setup.hops where update.key.kind == .database {
            if let glance = try? Glance(json: update.glance), glance.looks != nil { rationed[update.key.name] = glance }
        }
        channel = setup.takeChannel()
    }

    private mutating func run() throws {
        while true {
            let next = Clock.monotonicMicroseconds() / 1000 + interval
            // Made anew each time: names may have other addresses, and no session is resumed.
            let plan = try AuditPlan(bundle, onlyAsClient: true)
            for hop in plan.clientHops(authorities: nil) { try tell(hop.glance()) }
            for hop in try plan.appHops() { try tell(hop.glance()) }
            for (index, hop) in try plan.databaseHops(asksServers: false).enumerated() { try look(at: hop, index) }
            try wait(until: next)
        }
    }

    private mutating func look(at hop: DatabaseHopAudit, _ index: Int) throws {
        guard hop.countsLooks else { return try tell(hop.glance()) }
        let name = hop.name
        let sessions = pages.reduce(0) { $0 + $1.page.value(.established, database: index) }
        var looks = rationed[name]?.looks ?? Glance.Looks(sessions: sessions)
        if sessions != looks.sessions { looks = Glance.Looks(sessions: sessions) }
        if looks.count < Self.mostLooks {
            looks.count += 1
            var glance = hop.glance()
            glance.looks = looks
            rationed[name] = glance
            return try tell(glance)
        }
        guard var last = rationed[name], last.waits == nil else { return }
        last.waits =
            "looked at again after the next session: MySQL would refuse this host after too many looks (max_connect_errors)"
        rationed[name] = last
        try tell(last)
    }

    private mutating func tell(_ glance: Glance) throws {
        try channel.send(kind: ControlKind.hop.rawValue, try HopUpdate(glance).encoded())
        try channel.flushWaiting()
        try readControl()
    }

    private mutating func wait(until end: UInt64) throws {
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { return }
            if try channel.waitForMaster(milliseconds: end - now) { try readControl() }
        }
    }

    private mutating func readControl() throws {
        while var message = try channel.receive() {
            var reader = WireReader(message.payload)
            switch ControlKind(rawValue: message.kind) {
            case .page:
                let process = try reader.int()
                if let descriptor = message.takeDescriptor() {
                    pages.append((process, try MetricsPage(descriptor: descriptor)))
                }
            case .signer: RemoteKeys.ask(message.takeDescriptor())
            case .pageGone:
                let process = try reader.int()
                pages.removeAll { $0.process == process }
            case .replacement:
                bundle = try Bundle(decoding: try ReplacementMessage(decoding: message.payload).content)
            case .ping: try channel.send(kind: ControlKind.pong.rawValue)
            default: break
            }
        }
    }
}
