import Config
import Evidence
import Logging
import Platform
import Telemetry

/// What supervision remembers between two looks at the children.
struct Supervision {
    /// What a child may say at a time, in bytes.
    static let mostPayload = 4 << 20
    /// How long a worker may take until it serves, in milliseconds.
    static let patienceAtStart: UInt64 = 60_000
    /// How long a helper that may wait for others (names, servers, file systems) may be silent at least.
    static let patienceWithWaiting: UInt64 = 120_000
    /// The longest pause while nobody else serves: then the pause is an outage.
    static let longestOutage: UInt64 = 1000

    /// When the children are looked at next, in monotonic milliseconds.
    var nextRound: UInt64 = 0
    /// By slot.
    var pauses: [Int: RestartPause] = [:]
    var helperPauses: [HelperProcess.Kind: RestartPause] = [:]
    /// Slots in which memory has led to a replacement, and until when it does not lead to another.
    var notOutgrownBefore: [Int: UInt64] = [:]
    /// How much memory a worker may have, and for which generation that was found out.
    var ceiling: (bytes: UInt64, generation: Int)?
}

/// Children that are not well.
extension Master {
    /// Looks at all children, at most once a second.
    func supervise() {
        // Not the turn's time: workers may have been started since.
        let now = Self.now
        guard now >= supervision.nextRound else { return }
        let interval = min(1000, configuration.server.hangTimeout / 4)
        // A machine that was asleep, a master that was stopped or had a configuration loaded: nobody could answer.
        let late = now - supervision.nextRound
        if supervision.nextRound > 0, late > interval {
            for worker in workers { worker.pulse.forgive(late) }
            for helper in helpers { helper.pulse.forgive(late) }
        }
        supervision.nextRound = now + interval
        for worker in workers where worker.verdict == nil { look(at: worker, now) }
        for helper in helpers where helper.verdict == nil { look(at: helper, now) }
        partWithStuck(now)
        if hasHandedOver { tellCounts() }
    }

    private func look(at worker: WorkerProcess, _ now: UInt64) {
        lookAtMemory(of: worker, now)
        guard worker.verdict == nil else { return }
        if worker.state == .starting {
            let age = now - worker.startedAt
            guard age > Supervision.patienceAtStart else { return }
            return condemn(worker, .start, "it does not serve after \(age) ms")
        }
        if worker.pulse.silence(now: now) > configuration.server.hangTimeout {
            // The answer may have come since the last turn.
            readWorker(worker)
            let silence = worker.pulse.silence(now: now)
            guard worker.verdict == nil, silence > configuration.server.hangTimeout else { return }
            return condemn(worker, .hang, "it has not answered for \(silence) ms")
        }
        if worker.pulse.shouldAsk(now: now) {
            worker.tell(.ping)
            worker.flush(poller)
        }
    }

    private func look(at helper: HelperProcess, _ now: UInt64) {
        let patience = helper.patience(configuration)
        if helper.pulse.silence(now: now) > patience {
            readHelper(helper)
            let silence = helper.pulse.silence(now: now)
            guard helper.verdict == nil, silence > patience else { return }
            return condemn(helper, .hang, "it has not answered for \(silence) ms")
        }
        if helper.pulse.shouldAsk(now: now) {
            helper.tell(.ping)
            helper.flush(poller)
        }
    }

    /// Ends a worker at once; its death is followed by its replacement.
    func condemn(_ worker: WorkerProcess, _ reason: ReplacementReason, _ why: String) {
        // One that was collected has a number that may be another's by now.
        guard worker.verdict == nil, workers.contains(where: { $0 === worker }) else { return }
        worker.verdict = reason
        log.error(
            "worker \(worker.slot) is ended: \(why)",
            metadata: [
                "pid": "\(worker.process)", "generation": "\(worker.generation)", "reason": "\(reason.rawValue)",
                "state": "\(ProcessState.summary(of: worker.process))",
            ]
        )
        end(worker)
    }

    /// Ends a helper at once; its death is followed by its replacement.
    func condemn(_ helper: HelperProcess, _ reason: ReplacementReason, _ why: String) {
        guard helper.verdict == nil, helpers.contains(where: { $0 === helper }) else { return }
        helper.verdict = reason
        helper.endsBy = Self.now + Parting.patienceWithKernel
        log.error(
            "the \(helper.kind.rawValue) is ended: \(why)",
            metadata: [
                "pid": "\(helper.process)", "reason": "\(reason.rawValue)",
                "state": "\(ProcessState.summary(of: helper.process))",
            ]
        )
        helper.end()
    }

    /// Ends a worker at once.
    func end(_ worker: WorkerProcess) {
        ChildProcess.end(worker.process)
        worker.endsBy = min(worker.endsBy, Self.now + Parting.patienceWithKernel)
    }

    /// Has others take the place of those that the kernel does not let go of, although they were killed.
    private func partWithStuck(_ now: UInt64) {
        for worker in workers where now >= worker.endsBy {
            workers.removeAll { $0 === worker }
            partings.append(Parting(process: worker.process, name: "worker \(worker.slot)", due: now))
            ended(worker, -9)
        }
        for helper in helpers where now >= helper.endsBy {
            helpers.removeAll { $0 === helper }
            partings.append(Parting(process: helper.process, name: helper.kind.rawValue, due: now))
            helperEnded(helper, -9)
        }
    }

    /// How many slots have a worker that answers.
    var answeringSlots: Int {
        let now = Self.now
        let alive = workers.filter {
            $0.state == .serving && $0.verdict == nil && $0.pulse.silence(now: now) <= configuration.server.hangTimeout
        }
        return Set(alive.map(\.slot)).count
    }

    // MARK: memory

    /// Above the ceiling another worker takes its place, far above it is ended.
    private func lookAtMemory(of worker: WorkerProcess, _ now: UInt64) {
        let ceiling = memoryCeiling()
        guard let memory = ProcessState.memory(of: worker.process), memory > ceiling else { return }
        if memory > ceiling + ceiling / 2 {
            return condemn(worker, .memory, "it has \(memory >> 20) MiB of memory, far more than \(ceiling >> 20) MiB")
        }
        guard worker.state == .serving, !worker.isOutgrown, worker.generation == generation, previous == nil,
            !isStopping, now >= supervision.notOutgrownBefore[worker.slot] ?? 0,
            !isAwaited(worker)
        else { return }
        worker.isOutgrown = true
        let facts = ["worker": "\(worker.slot)", "memory": "\(memory >> 20) MiB", "most": "\(ceiling >> 20) MiB"]
        log.warning(
            "a worker has too much memory: another one takes its place, it finishes what it has",
            metadata: Logger.Metadata(uniqueKeysWithValues: facts.map { ($0.key, "\($0.value)") })
        )
        record(.workerReplaced, facts.merging(["reason": ReplacementReason.memory.rawValue]) { $1 })
        respawns.append(Respawn(slot: worker.slot, generation: generation, at: now))
    }

    private func memoryCeiling() -> UInt64 {
        if let ceiling = supervision.ceiling, ceiling.generation == generation { return ceiling.bytes }
        let bytes =
            configuration.server.workerMemory
            ?? Self.memoryCeiling(
                connections: connectionLimit(configuration),
                workers: slots,
                host: ProcessState.memoryOfHost()
            )
        supervision.ceiling = (bytes, generation)
        return bytes
    }

    /// What a worker may have when the configuration does not say: what its connections may need, and no more than its
    /// share of what the machine has.
    static func memoryCeiling(connections: Int, workers: Int, host: UInt64) -> UInt64 {
        let base: UInt64 = 256 << 20
        let needed = base + UInt64(max(0, connections)) * (192 << 10)
        return max(base, min(needed, host / 5 * 4 / UInt64(max(1, workers))))
    }

    // MARK: places

    /// A worker of a generation that serves has died: another one follows, after a pause if it had not lived long.
    func replace(_ worker: WorkerProcess) {
        let now = Self.now
        let pause = supervision.pauses[worker.slot, default: RestartPause()].next(lived: now - worker.startedAt)
        // One that was to take its place, or whose place it was to take, may be there.
        guard !hasWorker(worker.slot, of: worker.generation), !isAwaited(worker) else { return }
        let others = workers.contains { $0.generation == worker.generation && $0.state == .serving }
        let bounded = others ? pause : min(pause, Supervision.longestOutage)
        if bounded > 0 { log.notice("worker \(worker.slot) is started again after a pause of \(bounded) ms") }
        respawns.append(Respawn(slot: worker.slot, generation: worker.generation, at: now + bounded))
        if worker.state == .serving { lend(worker.slot, of: worker.generation, to: workers) }
    }

    /// Whether another worker is to take this one's place.
    private func isAwaited(_ worker: WorkerProcess) -> Bool {
        respawns.contains { $0.slot == worker.slot && $0.generation == worker.generation }
    }

    /// Whether a slot has a worker, or will have one, that may stay.
    private func hasWorker(_ slot: Int, of generation: Int) -> Bool {
        workers.contains {
            $0.slot == slot && $0.generation == generation && $0.state != .draining && !$0.isOutgrown
                && $0.verdict == nil
        }
    }

    /// A worker serves: whoever had its place, or its clients meanwhile, has them no longer.
    func takesPlace(_ worker: WorkerProcess) {
        let now = Self.now
        for other in workers where other !== worker && other.slot == worker.slot && other.state == .serving {
            guard other.generation == worker.generation else { continue }
            let pause = supervision.pauses[other.slot, default: RestartPause()].next(lived: now - other.startedAt)
            supervision.notOutgrownBefore[other.slot] = now + pause
            retiredPage.add(ReplacementReason.memory.ofWorker)
            drain([other])
        }
        var writer = WireWriter()
        writer.put(worker.slot)
        for other in workers where other !== worker && other.generation == worker.generation {
            other.tell(.takeBack, writer.bytes)
        }
        guard worker.generation == servedGeneration else { return }
        for respawn in respawns where respawn.generation == worker.generation {
            if !hasWorker(respawn.slot, of: respawn.generation) {
                lend(respawn.slot, of: respawn.generation, to: [worker])
            }
        }
    }

    /// Has others take the clients of a slot that has no worker, so that none of them waits for its next one.
    private func lend(_ slot: Int, of generation: Int, to others: [WorkerProcess]) {
        guard let footing = footing(of: generation) else { return }
        let slots = footing.configuration.workerCount
        let sockets = sockets.descriptors(footing.plan, slot: slot, of: slots, sharedToo: false)
        for other in others where other.generation == generation && other.slot != slot && other.state == .serving {
            for socket in sockets {
                other.tell(.lend, LentSocket(index: socket.index, slot: slot).encoded(), copyOf: socket.raw)
            }
            other.flush(poller)
        }
    }
}

extension ControlChannel.Turn {
    /// For what a child has said before its end: as much as fits into a socket, whoever may still hold the other end.
    static let lastWords = ControlChannel.Turn(messages: 65_536, bytes: 2 * Supervision.mostPayload)
}

extension HelperProcess {
    /// How long it may be silent, in milliseconds.
    func patience(_ configuration: Configuration) -> UInt64 {
        guard hasStarted else { return max(configuration.server.hangTimeout, Supervision.patienceAtStart) }
        return switch kind {
        case .monitor, .signer: configuration.server.hangTimeout
        case .prober, .resolver, .watcher, .stapler, .acme:
            max(configuration.server.hangTimeout, Supervision.patienceWithWaiting)
        }
    }
}
