import Glibc

/// Which of this program's processes goes first where they want one processor: whoever serves.
///
/// What begins meanwhile is nicer: the kernel then lets whoever serves in between as soon as it has something to do,
/// instead of at the next tick.
public enum Priority {
    /// What is added to the niceness of a child that is lowered.
    ///
    /// A process that never rests leaves it a tenth of the processor, so that it goes on under any load.
    public static let step: Int32 = 10

    /// The niceness of this process.
    public static var niceness: Int32 { niceness(of: 0) }

    /// The niceness of a process; 0 is this one.
    public static func niceness(of other: Int32) -> Int32 { getpriority(process, id_t(other)) }

    /// Permits lowered children to come back, as far as this process may.
    public static func permitComingBack() {
        guard !mayComeBack else { return }
        let needed = rlim_t(max(0, 20 - niceness))
        var limit = rlimit(rlim_cur: needed, rlim_max: needed)
        _ = setrlimit(nice, &limit)
    }

    /// Makes a child nicer than this process, at least until it comes back.
    ///
    /// - Parameter isForGood: whether it never has to; one that could not is left as it is.
    public static func lower(_ child: Int32, isForGood: Bool = false) {
        if isForGood || mayComeBack { _ = setpriority(process, id_t(child), niceness + step) }
    }

    /// Ends being lowered.
    ///
    /// - Parameter niceness: that of the parent.
    public static func comeBack(to niceness: Int32) {
        if Self.niceness > niceness { _ = setpriority(process, 0, niceness) }
    }

    /// Lets others go first that wait already, between two pieces of work that take a while.
    public static func pause() { _ = sched_yield() }

    /// Whether a child that is lowered can be as nice as this process again.
    private static var mayComeBack: Bool {
        var limit = rlimit()
        return getrlimit(nice, &limit) == 0 && limit.rlim_cur >= rlim_t(max(0, 20 - niceness))
    }

    private static var process: CInt { CInt(PRIO_PROCESS.rawValue) }
    private static var nice: __rlimit_resource_t { __rlimit_resource_t(__RLIMIT_NICE.rawValue) }
}
