import Bytes
import Platform
import Telemetry

/// One worker as the master sees it.
final class WorkerProcess {
    enum State {
        /// Started, not yet serving.
        case starting
        case serving
        /// Told to finish.
        case draining
    }

    let process: Int32
    let slot: Int
    let generation: Int
    let startedAt: UInt64
    let page: MetricsPage
    /// Whose counts are where in it.
    let names: MetricsNames
    /// When it has to have ended, once it drains.
    var drainedBy: UInt64?
    let pageDescriptor: FileDescriptor
    var channel: ControlChannel
    var state = State.starting
    var token: Token?
    var pulse = Pulse()
    /// Why the master ends it, once it has decided so.
    var verdict: ReplacementReason?
    /// What it has told of its sandbox.
    var sandbox: Sandbox.Report?
    /// When it has to have ended then.
    var endsBy = UInt64.max
    /// Whether another one takes its place because it has too much memory.
    var isOutgrown = false

    init(
        process: Int32,
        slot: Int,
        generation: Int,
        startedAt: UInt64,
        page: MetricsPage,
        names: MetricsNames,
        pageDescriptor: consuming FileDescriptor,
        channel: consuming ControlChannel
    ) {
        self.process = process
        self.slot = slot
        self.generation = generation
        self.startedAt = startedAt
        self.page = page
        self.names = names
        self.pageDescriptor = consume pageDescriptor
        self.channel = consume channel
    }

    /// Sends a message; a worker that is gone is noticed by its death, not here.
    func tell(_ kind: ControlKind, _ payload: [UInt8] = [], copyOf descriptor: Int32 = -1) {
        try? channel.send(kind: kind.rawValue, payload, copyOf: descriptor)
    }
}

/// Why a process was replaced.
enum ReplacementReason: String {
    /// It ended by itself.
    case crash
    /// It did not answer.
    case hang
    /// It had too much memory.
    case memory
    /// It did not begin to serve in time.
    case start
    /// It said what makes no sense.
    case message

    /// How a worker's replacement is counted.
    var ofWorker: Counter {
        switch self {
        case .crash: .workersCrashed
        case .hang: .workersHung
        case .memory: .workersOutgrown
        case .start: .workersLate
        case .message: .workersBabbled
        }
    }

    /// How a helper's replacement is counted.
    var ofHelper: Counter {
        switch self {
        case .crash, .memory: .helpersCrashed
        case .hang, .start: .helpersHung
        case .message: .helpersBabbled
        }
    }
}
