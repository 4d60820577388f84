import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// The program that is to take over, as the master sees it whose place it takes.
final class Successor {
    let process: Int32
    var channel: ControlChannel
    var token: Token?
    /// When it has to serve, in monotonic milliseconds.
    let due: UInt64
    /// Why it cannot, by its own word or the master's.
    var complaint: String?
    /// What it said before its end counts no more, but for why it ended.
    var hasEnded = false
    /// What it was told last of what has been counted.
    var tally = MetricsTally()

    init(process: Int32, due: UInt64, channel: consuming ControlChannel) {
        self.process = process
        self.due = due
        self.channel = channel
    }

    func tell(_ kind: ControlKind, _ payload: [UInt8] = [], copyOf descriptor: Int32 = -1) {
        try? channel.send(kind: kind.rawValue, payload, copyOf: descriptor)
    }
}

/// Handing over to another program.
extension Master {
    /// Whether two programs are about to change places: neither may load another configuration meanwhile.
    var isChangingPlaces: Bool {
        (successor != nil && !hasHandedOver) || (former.map { $0.state != .finishing } ?? false)
    }

    /// Why an upgrade cannot even wait now.
    var upgradeRefusal: String? {
        if isStopping { return "this program is stopping" }
        if hasHandedOver { return "this program has handed over already, and only finishes what it has" }
        return isChangingPlaces ? "another one is under way" : nil
    }

    /// Starts the program's file again, which may be another program by now.
    func upgrade() {
        if let upgradeRefusal {
            log.error("upgrade refused: \(upgradeRefusal)")
            return
        }
        guard !isChanging, servedGeneration == generation else {
            log.notice("a reload is under way: the upgrade follows it")
            wantsUpgrade = true
            return
        }
        wantsUpgrade = false
        do { try startSuccessor() } catch { refuseUpgrade("\(options.program) cannot be started: \(error)") }
    }

    private func startSuccessor() throws {
        log.notice("upgrade: the program's file is started", metadata: ["program": "\(options.program)"])
        ServiceManager.notifyReloading()
        var pair = try ControlChannel.pair()
        let theirs = pair.takeSecond()
        // The watchdog goes on with whoever is the main process.
        let environment = ChildProcess.currentEnvironment().filter { !$0.hasPrefix("WATCHDOG_PID=") }
        let process = try ChildProcess.spawn(
            options.program,
            arguments: options.successorArguments,
            environment: environment,
            descriptors: [theirs.raw]
        )
        let successor = Successor(
            process: process,
            due: Self.now + configuration.server.upgradeTimeout,
            channel: ControlChannel(pair.takeFirst(), mostPayload: Supervision.mostPayload)
        )
        self.successor = successor
        let token = handlers.insert(.successor(successor))
        successor.token = token
        try poller.add(successor.channel.descriptor, token, .read)
        let names = ResolverTask.names(in: configuration)
        var known: [String: [String]] = [:]
        for update in addresses {
            let name = names.first { $0.upstream == update.upstream && $0.server == update.server }?.name
            if let name { known[name] = update.addresses }
        }
        successor.tell(.inheritance, Inheritance(generation: generation, addresses: known).encoded())
        for socket in sockets.all {
            successor.tell(.inheritedSocket, socket.inherited.encoded(), copyOf: socket.raw)
        }
        successor.tell(.ticketKeys, tickets.encoded())
        for update in health { successor.tell(.health, update.encoded()) }
        for update in hops { successor.tell(.hop, update.encoded()) }
        for update in staples.values { successor.tell(.staple, update.encoded()) }
        successor.tell(.start)
    }

    private func refuseUpgrade(_ reason: String) {
        log.error("upgrade failed, this program goes on: \(reason)", metadata: ["program": "\(options.program)"])
        record(.upgradeRefused, ["program": options.program, "reason": reason])
        ServiceManager.notify("READY=1")
        answerUpgrade(.refused(reason))
        nextChange()
    }

    private func answerUpgrade(_ outcome: ReloadOutcome) {
        for token in upgradeAsking { answer(token, outcome, "") }
        upgradeAsking = []
    }

    /// Reads what the new program says.
    func readSuccessor(_ successor: Successor) {
        var turn = ControlChannel.Turn()
        do {
            while let message = try successor.channel.receive(within: &turn) {
                switch ControlKind(rawValue: message.kind) {
                case .ready: handOver(to: successor)
                case .failed: successor.complaint = String(decoding: message.payload.prefix(4096), as: UTF8.self)
                case .accessLog: reopenLogs()
                case .drain where hasHandedOver: stop()
                case .drain: giveUp(successor, "it was told to stop")
                default: throw WireReader.Malformed()
                }
            }
            if turn.isOver { comeBack(to: successor.token) }
        } catch let error as Errno where error.isGone {
            // Its end is told by a signal.
            poller.remove(successor.channel.descriptor)
        } catch {
            poller.remove(successor.channel.descriptor)
            giveUp(successor, "it says what makes no sense: \(error)")
        }
    }

    /// Ends a program that does not come to serve.
    func giveUp(_ successor: Successor, _ reason: String) {
        guard !hasHandedOver, self.successor === successor else { return }
        if successor.complaint == nil { successor.complaint = reason }
        ChildProcess.end(successor.process)
    }

    /// The new program's process has ended.
    func successorEnded(_ status: Int) {
        guard let successor else { return }
        successor.hasEnded = true
        if !hasHandedOver { readSuccessor(successor) }
        if let token = successor.token { handlers.remove(token) }
        self.successor = nil
        let how = status < 0 ? "it ended with signal \(-status)" : "it ended with status \(status)"
        if hasHandedOver {
            log.error("the program that had taken over has ended: \(how)")
        } else if !isStopping {
            refuseUpgrade(successor.complaint.map { "\($0) (\(how))" } ?? how)
        }
    }

    /// All workers of the new program serve: this one's finish what they have.
    private func handOver(to successor: Successor) {
        guard !hasHandedOver, !isStopping, !successor.hasEnded, successor.complaint == nil else { return }
        log.notice("the new program serves: this one finishes what it has", metadata: ["pid": "\(successor.process)"])
        hasHandedOver = true
        respawns = []
        lateHelpers = []
        // What speaks to others is the new program's; workers that drain need who looks after folders, and who signs.
        let kept: Set<HelperProcess.Kind> = [.watcher, .resolver, .signer]
        for helper in helpers where !kept.contains(helper.kind) { end(helper) }
        for worker in workers where worker.state == .starting { end(worker) }
        drain(workers.filter { $0.state != .draining })
        for worker in workers { worker.flush(poller) }
        ServiceManager.notify("MAINPID=\(successor.process)")
        auditLog = nil
        control.listener = nil
        for token in changes.waiting { answer(token, .left, "") }
        sockets.handOver()
        tellCounts()
        successor.tell(.takeOver, wantsReload ? [1] : [])
        // It writes the same, but whoever has asked may look at once.
        do { try writePidFile(naming: successor.process) } catch { log.error("\(error)") }
        answerUpgrade(.done("process \(successor.process) serves"))
        ServiceManager.waitUntilTaken()
    }

    /// Tells the new program what this one's workers have counted.
    func tellCounts() {
        guard let successor else { return }
        var tally = MetricsTally()
        tally.add(retiredPage, changes.retiredNames)
        for worker in workers { tally.add(worker.page, worker.names) }
        guard tally != successor.tally else { return }
        successor.tally = tally
        successor.tell(.counts, tally.encoded())
    }
}

/// Taking over from another program.
extension Master {
    /// Begins with what the other one knows.
    func inherit(from former: Former) throws {
        for server in ResolverTask.names(in: configuration) {
            guard let list = former.inheritance.addresses[server.name] else { continue }
            addresses.append(AddressUpdate(upstream: server.upstream, server: server.server, addresses: list))
        }
        generation = former.inheritance.generation + 1
        health = former.health
        hops = former.hops
        forgetHealth()
        forgetHops()
        expectStaples(StaplerTask.subjects(bundle, configuration))
        for update in former.staples where staples[update.fingerprint] != nil { staples[update.fingerprint] = update }
        let token = handlers.insert(.former(former))
        former.token = token
        try poller.add(former.channel.descriptor, token, .read)
    }

    /// Reads what the other one says.
    func readFormer(_ former: Former) {
        var turn = ControlChannel.Turn()
        do {
            while let message = try former.channel.receive(within: &turn) {
                switch ControlKind(rawValue: message.kind) {
                case .counts: count(try MetricsTally(decoding: message.payload), of: former)
                case .takeOver:
                    if message.payload == [1] { wantsReload = true }
                    takeOver(former)
                case .auditEntry: try recordForFormer(message.payload)
                default: break
                }
            }
            if turn.isOver { comeBack(to: former.token) }
        } catch {
            formerIsGone(former)
        }
    }

    private func count(_ tally: MetricsTally, of former: Former) {
        retiredPage.add(tally.difference(from: former.tally), changes.retiredNames)
        former.tally = tally
    }

    private func formerIsGone(_ former: Former) {
        poller.remove(former.channel.descriptor)
        if let token = former.token { handlers.remove(token) }
        retiredPage.dropGauges(of: former.tally, changes.retiredNames)
        let state = former.state
        self.former = nil
        switch state {
        case .finishing: log.info("the program before this one has ended")
        case .told, .serving:
            log.error("the program before this one died; this one takes its place")
            takesFormersPlace = true
            if state == .told { beginToServe() }
        }
    }

    private func takeOver(_ former: Former) {
        guard former.state == .told else { return }
        former.state = .finishing
        takesFormersPlace = true
        beginToServe()
    }

    /// The audit log is this program's now; what the other one's workers still meet belongs there as well.
    private func recordForFormer(_ payload: [UInt8]) throws {
        var reader = WireReader(payload)
        guard let event = AuditEntry.Event(rawValue: try reader.text()) else { return }
        var facts: [String: String] = [:]
        for _ in 0..<(try reader.count()) {
            let key = try reader.text()
            facts[key] = try reader.text()
        }
        record(event, facts)
    }

    /// For the program that has the audit log now.
    func tellSuccessor(_ event: AuditEntry.Event, _ facts: [String: String]) {
        var writer = WireWriter()
        writer.put(event.rawValue)
        writer.put(facts.count)
        for (key, value) in facts {
            writer.put(key)
            writer.put(value)
        }
        successor?.tell(.auditEntry, writer.bytes)
    }
}
