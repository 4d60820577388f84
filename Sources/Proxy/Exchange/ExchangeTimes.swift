/// When the phases of an exchange began and ended, in monotonic microseconds; 0 when not reached.
struct ExchangeTimes {
    var firstByteIn: UInt64 = 0
    var headComplete: UInt64 = 0
    var connectStart: UInt64 = 0
    var connected: UInt64 = 0
    var requestEnd: UInt64 = 0
    var firstByte: UInt64 = 0
    var end: UInt64 = 0
}
