import Glibc

/// Time in whole units, without a clock type's arithmetic on the hot path.
public enum Clock {
    /// Microseconds since some fixed point; never goes back.
    public static func monotonicMicroseconds() -> UInt64 { read(CLOCK_MONOTONIC) / 1000 }

    /// Microseconds since 1970-01-01 UTC.
    public static func unixMicroseconds() -> UInt64 { read(CLOCK_REALTIME) / 1000 }

    /// Nanoseconds of CPU time that this process has used.
    public static func processNanoseconds() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }
}
