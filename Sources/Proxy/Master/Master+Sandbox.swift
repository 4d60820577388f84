import Logging
import Platform

/// What keeps children from doing harm, as they tell it themselves.
extension Master {
    /// Tells the operator which layers a kind of child lacks, once for each kind and lack.
    func note(_ report: Sandbox.Report, of kind: String) {
        let missing = Sandbox.Layer.allCases.compactMap { layer in
            report.missing[layer].map { "\(layer.meaning) (\($0))" }
        }
        guard !missing.isEmpty else { return }
        let text = missing.joined(separator: ", ")
        guard sandboxLacks[kind] != text else { return }
        sandboxLacks[kind] = text
        log.warning("the sandbox of the \(kind) lacks: \(text)")
    }
}
