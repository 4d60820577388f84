import Config
import Logging
import Platform
import TLS

/// Keys that no worker gets: the signer holds them, and whoever shakes hands asks it.
extension Master {
    /// What workers and helpers get of a bundle: everything, or everything but private keys.
    func withoutIsolatedKeys(_ bundle: Bundle, _ configuration: Configuration) -> Bundle {
        guard configuration.tls.isolatesKeys else { return bundle }
        let names = Set(configuration.certificates.map { CertificateStore.keyName($0.name) })
        let resources = bundle.resources.filter { !names.contains($0.key) }
        return Bundle(file: bundle.file, tree: bundle.tree, resources: resources)
    }

    /// Tells the signer which keys there are now, and starts it if need be.
    ///
    /// To be called before anybody gets a certificate with a new key. Keys of workers that still finish stay, and so do those
    /// that were replaced last: a handshake may be under way.
    ///
    /// - Parameter generation: whose keys they are.
    func giveKeys(of bundle: Bundle, _ configuration: Configuration, _ generation: Int) {
        guard configuration.tls.isolatesKeys else { return }
        let present = configuration.certificates.compactMap { bundle.resources[CertificateStore.keyName($0.name)] }
        if signerKeys[generation]?.present != present {
            signerKeys[generation] = (present, before: signerKeys[generation]?.present ?? [])
        }
        for old in signerKeys.keys where old != generation && footing(of: old) == nil {
            if !workers.contains(where: { $0.generation == old }) { signerKeys[old] = nil }
        }
        if !helpers.contains(where: { $0.kind == .signer }) { return start(.signer) }
        tellKeys()
    }

    private func tellKeys() {
        let all = Set(signerKeys.values.flatMap { $0.present + $0.before })
        for signer in helpers where signer.kind == .signer {
            signer.tell(.signerKeys, PrivateKeys.encode(Array(all)))
            signer.flush(poller)
        }
    }

    /// A signer has begun: it gets the keys, and everybody gets a socket to it.
    func signerBegins() {
        tellKeys()
        for worker in workers { link(worker) }
        for helper in helpers { link(helper) }
    }

    /// Connects a worker with the signer, if there is one.
    func link(_ worker: WorkerProcess) { connect { worker.tell(.signer, copyOf: $0) } }

    /// Connects a helper with the signer that may have to show a certificate.
    func link(_ helper: HelperProcess) {
        if helper.readsPages { connect { helper.tell(.signer, copyOf: $0) } }
    }

    private func connect(_ give: (Int32) -> Void) {
        guard let signer = helpers.first(where: { $0.kind == .signer }) else { return }
        do {
            var pair = try MessageSocket.pair()
            let asking = pair.takeFirst()
            let answering = pair.takeSecond()
            signer.tell(.signer, copyOf: answering.raw)
            signer.flush(poller)
            give(asking.raw)
        } catch { log.error("nobody can ask the signer: \(error)") }
    }
}
