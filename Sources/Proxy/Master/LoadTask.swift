import Bytes
import Platform

/// A loader at work: the master serves on meanwhile.
///
/// *Ownership:* the master's slab and its `ChangeState` hold it until it has ended.
final class LoadTask {
    enum Purpose {
        /// The configuration, because somebody asked for it.
        case reload
        /// What the present one names and may be replaced, because it has changed.
        case refresh
    }

    /// How long a loader may take, in milliseconds.
    private static let patience: UInt64 = 60_000

    let purpose: Purpose
    let file: String
    let process: Int32
    let reader: PipeReader
    /// When it has taken too long.
    let due: UInt64
    var token: Token?
    /// Set by whoever collects the process first.
    var status: Int?

    /// Has a child load a configuration.
    init(reload file: String) throws(Errno) {
        (process, reader) = try Self.begin(["load", file, "--keep-certificates"], handing: nil)
        (self.file, purpose) = (file, .reload)
        due = Clock.monotonicMicroseconds() / 1000 + Self.patience
    }

    /// Has a child read again what may be replaced in what is served.
    init(refresh bundle: Bundle) throws(Errno) {
        // It is told which certificates there are, not their keys.
        let chains = bundle.resources.filter { CertificateStore.isChain($0.key) }
        let memory = try File.sharedMemory("everyhop-present", size: 0)
        try File.writeAll(Bundle(file: bundle.file, tree: bundle.tree, resources: chains).encoded(), to: memory.raw)
        (process, reader) = try Self.begin(["load", bundle.file, "--again"], handing: memory.raw)
        (file, purpose) = (bundle.file, .refresh)
        due = Clock.monotonicMicroseconds() / 1000 + Self.patience
    }

    private static func begin(_ arguments: [String], handing raw: Int32?) throws(Errno) -> (Int32, PipeReader) {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        let process = try ChildProcess.spawnSelf(
            arguments,
            descriptors: raw.map { [$0] } ?? [],
            standardOutput: writing.raw
        )
        return (process, PipeReader(reading, limit: ControlChannel.limit))
    }

    /// What it has found, once its pipe has ended.
    func report() -> LoadReport {
        let status = status ?? ChildProcess.wait(for: process)
        guard status == 0, let report = try? LoadReport(decoding: reader.bytes) else {
            let how = status < 0 ? "signal \(-status)" : "status \(status)"
            return LoadReport(findings: "\(file): error: the loader ended with \(how)\n", bundle: nil)
        }
        return report
    }

    /// Ends it at once.
    func end() { ChildProcess.end(process) }
}
