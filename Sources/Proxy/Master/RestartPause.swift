/// How long to wait before a process is started again in a place where one has died: a fault that comes back at once
/// must not keep the machine busy.
struct RestartPause: Equatable {
    /// The first pause, in milliseconds.
    static let first: UInt64 = 500
    static let longest: UInt64 = 30_000
    /// One that lived so long was well, and starting another every so often costs nothing: what was before it does not
    /// count.
    static let longLife: UInt64 = 10_000

    private var last: UInt64 = 0

    /// The pause after a death.
    ///
    /// - Parameter lived: how long the dead one had lived, in milliseconds.
    mutating func next(lived: UInt64) -> UInt64 {
        guard lived < Self.longLife else {
            last = 0
            return 0
        }
        last = last == 0 ? Self.first : min(2 * last, Self.longest)
        return last
    }
}
