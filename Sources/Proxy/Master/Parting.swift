import Logging
import Platform

/// A child that was told to end, until its process is collected.
///
/// Nobody waits for it: a process that the kernel does not let go of (a disk or a network file system that does not
/// answer) would hold up the master.
struct Parting {
    /// How long a helper may go on with what it has begun, in milliseconds: a little longer than its clients may take.
    static let patience: UInt64 = Monitor.patience + 1000
    /// How long a process that was killed may take.
    static let patienceWithKernel: UInt64 = 5000

    let process: Int32
    /// What kind of child it is.
    let name: String
    /// One that finishes what it has begun: the end of its channel would be its end.
    var helper: HelperProcess?
    /// When something has to be done about it; nil when there is nothing left to do.
    var due: UInt64?
}

extension Master {
    /// Whether a helper finishes what it has begun.
    var isFinishing: Bool { partings.contains { $0.helper != nil } }

    /// When `tendPartings` is needed next.
    var nextParting: UInt64 { partings.compactMap(\.due).min() ?? UInt64.max }

    /// Ends a helper: at once, unless somebody may be waiting for an answer of it.
    func part(with helper: HelperProcess) {
        guard helper.kind == .monitor, helper.hasStarted, helper.verdict == nil else {
            return part(with: helper.process, helper.kind.rawValue)
        }
        helper.tell(.finish)
        let due = Self.now + Parting.patience
        partings.append(Parting(process: helper.process, name: helper.kind.rawValue, helper: helper, due: due))
    }

    /// Ends a child at once.
    func part(with process: Int32, _ name: String) {
        ChildProcess.end(process)
        partings.append(Parting(process: process, name: name, due: Self.now + Parting.patienceWithKernel))
    }

    /// Whether a process that has ended is one that was told to.
    func parted(from process: Int32) -> Bool {
        guard let index = partings.firstIndex(where: { $0.process == process }) else { return false }
        partings.remove(at: index)
        return true
    }

    func tendPartings(_ now: UInt64) {
        for index in partings.indices {
            if let helper = partings[index].helper { try? helper.channel.flush() }
            guard let due = partings[index].due, now >= due else { continue }
            let parting = partings[index]
            let metadata: Logger.Metadata = [
                "pid": "\(parting.process)", "state": "\(ProcessState.summary(of: parting.process))",
            ]
            guard parting.helper != nil else {
                partings[index].due = nil
                log.error("the \(parting.name) was killed and does not end; it is not waited for", metadata: metadata)
                continue
            }
            log.warning("the \(parting.name) does not finish in time: ended", metadata: metadata)
            ChildProcess.end(parting.process)
            partings[index].helper = nil
            partings[index].due = now + Parting.patienceWithKernel
        }
    }
}
