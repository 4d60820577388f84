import Logging
import Platform
import Telemetry

/// What a worker tells its operator; lines that strangers can cause are limited to some per second, and what is wrong with
/// a server's trust is said once in a while.
final class WorkerLog {
    private static let mostPerSecond = 20

    private let logger: Logger
    private var second: UInt64 = 0
    private var written = 0
    private var suppressed = 0
    private var refusals = RepeatedLines()
    private var pauses = RepeatedLines()
    private var isPauseTold = false
    private var accessLogFails = false

    init(slot: Int, generation: Int, level: String) {
        logger = Logger(label: "everyhop") { _ in
            StandardErrorLog(
                process: "worker \(slot) of generation \(generation)",
                level: Logger.Level(rawValue: level) ?? .info
            )
        }
    }

    /// A pause is over; told when its beginning was.
    func accepting() {
        guard isPauseTold else { return }
        isPauseTold = false
        logger.notice("accepting again: below the limits")
    }

    func atLimit(_ limit: Int) {
        pause(.warning, "connection limit reached: new clients wait", ["limit": "\(limit)"])
    }

    func outOfDescriptors(_ error: Errno, _ clients: Int) {
        pause(
            .error,
            "no descriptor left: new clients wait; raise the limit of open files (ulimit -n)",
            ["error": "\(error)", "clients": "\(clients)"]
        )
    }

    func underPressure(_ held: Int, _ limit: Int) {
        pause(
            .warning,
            "buffers are used up: new clients wait, new requests are 503, the slowest readers are cut off",
            ["bytes": "\(held)", "limit": "\(limit)"]
        )
    }

    /// Accepting pauses; a worker that stays at a limit pauses again and again.
    private func pause(_ level: Logger.Level, _ text: String, _ metadata: Logger.Metadata) {
        guard let before = pauses.admit(text, now: Self.seconds) else { return }
        isPauseTold = true
        let leftOut: Logger.Metadata = before > 0 ? ["left out": "\(before)"] : [:]
        logger.log(level: level, "\(text)", metadata: metadata.merging(leftOut) { $1 })
    }

    func acceptFailed(_ error: any Error) { logger.error("cannot accept: \(error)") }

    func unexpectedMessage(_ kind: UInt8) { logger.error("unexpected message \(kind) from the master") }

    /// A client that never became an exchange, and therefore has no line in the access log.
    func client(_ peer: SocketAddress, _ reason: String) {
        guard mayWrite() else { return }
        logger.info("client: \(reason)", metadata: ["client": "\(peer)"])
    }

    /// A server that could not be used.
    func server(_ upstream: String, _ address: SocketAddress, _ reason: String, isTrust: Bool) {
        var metadata: Logger.Metadata = ["upstream": "\(upstream)", "server": "\(address)"]
        guard isTrust else {
            if mayWrite() { logger.warning("server failed: \(reason)", metadata: metadata) }
            return
        }
        guard let before = refusals.admit("\(upstream) \(address) \(reason)", now: Self.seconds) else { return }
        if before > 0 { metadata["left out"] = "\(before)" }
        logger.error("server refused: \(reason)", metadata: metadata)
    }

    /// A server that is left out for a while.
    func ejected(_ upstream: String, _ server: String, milliseconds: UInt64) {
        guard mayWrite() else { return }
        logger.warning(
            "server ejected for \(milliseconds) ms after failures",
            metadata: ["upstream": "\(upstream)", "server": "\(server)"]
        )
    }

    /// A database session that was refused, or what is worth knowing about one that goes on.
    func database(_ name: String, _ peer: SocketAddress, _ text: String, isTrust: Bool = false) {
        var metadata: Logger.Metadata = ["database": "\(name)", "client": "\(peer)"]
        guard isTrust else {
            if mayWrite() { logger.warning("database: \(text)", metadata: metadata) }
            return
        }
        guard let before = refusals.admit("\(name) \(text)", now: Self.seconds) else { return }
        if before > 0 { metadata["left out"] = "\(before)" }
        logger.error("database server refused: \(text)", metadata: metadata)
    }

    private static var seconds: UInt64 { Clock.monotonicMicroseconds() / 1_000_000 }

    /// A folder whose files cannot be served.
    func folder(_ path: String, _ text: String) {
        guard mayWrite() else { return }
        logger.error("root: \(text)", metadata: ["root": "\(path)"])
    }

    /// Whether the access log can be written; told when that changes.
    func accessLog(_ failure: Errno?) {
        guard accessLogFails != (failure != nil) else { return }
        accessLogFails = failure != nil
        if let failure {
            logger.error("the access log cannot be written; lines are kept for a while, then lost: \(failure)")
        } else {
            logger.notice("the access log is written again")
        }
    }

    /// Lines of the access log that end with this worker.
    func accessLogLost(_ lines: Int, _ failure: Errno?) {
        let why = failure.map { "\($0)" } ?? "its reader is too slow"
        logger.error("\(lines) lines of the access log are lost with this worker: \(why)")
    }

    /// This worker begins, and the one that signs for it does not.
    func signerIsSilent() { logger.warning("the signer has not begun: handshakes fail until it answers") }

    private func mayWrite() -> Bool {
        let now = Self.seconds
        if now != second {
            if suppressed > 0 { logger.notice("\(suppressed) lines about clients and servers were left out") }
            second = now
            written = 0
            suppressed = 0
        }
        written += 1
        if written <= Self.mostPerSecond { return true }
        suppressed += 1
        return false
    }
}
