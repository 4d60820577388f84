import Evidence
import Logging
import Platform

/// What keeps children from doing harm, as they tell it themselves.
extension Master {
    /// Gives up all of root's power that the master and its children do not need later.
    func keepNeededPrivileges() {
        do throws(Errno) { _ = try Sandbox.giveUp(becoming: nil, keeping: Set(Capability.allCases)) } catch {
            log.error("privileges that are not needed are kept: \(error)")
        }
    }

    /// Takes in what a child tells of its sandbox, once and before it meets anybody, and tells the operator which layers a
    /// kind of child lacks, once for each lack.
    ///
    /// - Parameter before: what it told before; who tells twice makes no sense.
    func note(_ payload: [UInt8], of kind: String, after before: Sandbox.Report?) throws -> Sandbox.Report {
        guard before == nil else { throw WireReader.Malformed() }
        let report = try Sandbox.Report(decoding: payload)
        let missing = Sandbox.Layer.allCases.compactMap { layer in
            report.missing[layer].map { "\(layer.meaning) (\($0))" }
        }
        let text = missing.joined(separator: ", ")
        if !missing.isEmpty, sandboxLacks.insert(text).inserted {
            log.warning("the sandbox lacks: \(text)", metadata: ["child": "\(kind)"])
        }
        return report
    }

    /// What every child that is there has told.
    var confined: [ConfinedProcess] {
        let workers = workers.compactMap { worker in
            worker.sandbox.map { ConfinedProcess("worker", worker.process, $0) }
        }
        return workers
            + helpers.compactMap { helper in
                helper.sandbox.map { ConfinedProcess(helper.kind.rawValue, helper.process, $0) }
            }
    }

    /// Has the hop map tell it, too.
    func tellOfSandboxes() {
        guard let payload = try? ConfinedProcess.json(confined) else { return }
        for helper in helpers where helper.kind == .monitor && helper.hasStarted { helper.tell(.sandbox, payload) }
    }
}
