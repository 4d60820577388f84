import Config
import Platform

extension Loader {
    /// Whether every layer can be put on, where the configuration demands it.
    mutating func checkSandbox(_ configuration: Configuration) {
        guard let position = configuration.server.requiresSandbox else { return }
        var lacks = sandboxLacks
        if Privileges.isRoot, configuration.server.user == nil { lacks[.user] = "user is not set in [server]" }
        let missing = Sandbox.Layer.allCases.compactMap { layer in lacks[layer].map { "\(layer.meaning): \($0)" } }
        guard !missing.isEmpty else { return }
        complain(
            at: position,
            "the sandbox lacks \(missing.joined(separator: "; "))",
            fix: "use a newer kernel, or sandbox = \"best-effort\""
        )
    }
}
