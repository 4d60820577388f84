/// What a row of checks says about a server.
///
/// A value without I/O or clock.
struct CheckedHealth: Equatable {
    private let rise: Int
    private let fall: Int
    /// nil until the first check: that one decides alone, so that a server that is down is known at once.
    private(set) var isUp: Bool?
    /// How many in a row have spoken against the present state.
    private var against = 0

    /// - Parameter isUp: what was known before this process began.
    init(rise: Int, fall: Int, isUp: Bool?) {
        self.rise = rise
        self.fall = fall
        self.isUp = isUp
    }

    /// Takes a result in; true when the state has changed by it.
    mutating func record(passed: Bool) -> Bool {
        guard let wasUp = isUp else {
            isUp = passed
            return true
        }
        guard passed != wasUp else {
            against = 0
            return false
        }
        against += 1
        guard against >= (wasUp ? fall : rise) else { return false }
        isUp = passed
        against = 0
        return true
    }
}
