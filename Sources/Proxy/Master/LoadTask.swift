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
    /// Set by whoever collects the process.
    var status: Int?
    /// Whether all that it has to say is there.
    var isRead = false

    /// Has a child load a configuration, which may be another one than is served.
    init(reload file: String, present bundle: Bundle) throws(Errno) {
        (process, reader) = try Self.begin(["load", file, "--keep-certificates", "--present"], handing: bundle)
        (self.file, purpose) = (file, .reload)
        due = Clock.monotonicMicroseconds() / 1000 + Self.patience
    }

    /// Has a child read again what may be replaced in what is served.
    init(refresh bundle: Bundle) throws(Errno) {
        (process, reader) = try Self.begin(["load", bundle.file, "--again"], handing: bundle)
        (file, purpose) = (bundle.file, .refresh)
        due = Clock.monotonicMicroseconds() / 1000 + Self.patience
    }

    /// - Parameter present: what is served; the child is told of it whatever is no secret.
    private static func begin(
        _ arguments: [String],
        handing present: Bundle
    ) throws(Errno) -> (Int32, PipeReader) {
        let known = present.resources.filter { CertificateStore.isPublic($0.key) }
        let memory = try File.sharedMemory("everyhop-present", size: 0)
        try File.writeAll(Bundle(file: present.file, tree: present.tree, resources: known).encoded(), to: memory.raw)
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        let process = try ChildProcess.spawnSelf(arguments, descriptors: [memory.raw], standardOutput: writing.raw)
        Priority.lower(process, isForGood: true)
        return (process, PipeReader(reading, limit: ControlChannel.limit))
    }

    /// What it has found, once it has ended, or has taken too long.
    func report() -> LoadReport {
        guard let status else {
            return LoadReport(findings: "\(file): error: the loader did not end in time\n", bundle: nil)
        }
        guard status == 0, let report = try? LoadReport(decoding: reader.bytes) else {
            let how = status < 0 ? "signal \(-status)" : "status \(status)"
            return LoadReport(findings: "\(file): error: the loader ended with \(how)\n", bundle: nil)
        }
        return report
    }
}
