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

    /// Tells the operator which layers a kind of child lacks, once for each lack.
    func note(_ report: Sandbox.Report, of kind: String) {
        let missing = Sandbox.Layer.allCases.compactMap { layer in
            report.missing[layer].map { "\(layer.meaning) (\($0))" }
        }
        guard !missing.isEmpty else { return }
        let text = missing.joined(separator: ", ")
        guard sandboxLacks.insert(text).inserted else { return }
        log.warning("the sandbox lacks: \(text)", metadata: ["child": "\(kind)"])
    }
}
