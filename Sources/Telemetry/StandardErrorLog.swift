import Glibc
public import Logging

/// Writes log messages to standard error, one line each, by one write(2): time, level, process, message, metadata.
public struct StandardErrorLog: LogHandler {
    /// See `LogHandler`.
    public var metadata = Logger.Metadata()
    /// See `LogHandler`.
    public var logLevel: Logger.Level
    private let process: String

    /// - Parameter process: which process speaks, such as `worker 0`.
    public init(process: String, level: Logger.Level) {
        self.process = process
        logLevel = level
    }

    /// See `LogHandler`.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// See `LogHandler`.
    public func log(event: LogEvent) {
        var text = "\(Self.timestamp()) \(event.level) [\(process)] \(event.message)"
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { text += " \(key)=\"\(value)\"" }
        // A peer's bytes must not begin a line of their own, nor speak to a terminal.
        var bytes = text.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }
        bytes.append(0x0A)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }

    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        let two = { (number: Int32) in number < 10 ? "0\(number)" : "\(number)" }
        let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
    }
}
