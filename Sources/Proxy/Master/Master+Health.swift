import Config
import Logging

/// What checks of servers need, and where their results go.
extension Master {
    /// The files that a monitor needs to verify servers as workers do: no key but those that servers ask clients for.
    func forChecks(_ bundle: Bundle) -> Bundle {
        var names: Set<String> = []
        for upstream in configuration.upstreams where upstream.health != nil {
            names.insert(CertificateStore.authoritiesName(upstream.name))
            for file in upstream.trust?.revocation?.files ?? [] { names.insert(CertificateStore.listsName(file.value)) }
            guard let certificate = upstream.clientCertificate?.value else { continue }
            names.insert(CertificateStore.chainName(certificate))
            names.insert(CertificateStore.keyName(certificate))
        }
        let resources = bundle.resources.filter { names.contains($0.key) }
        return Bundle(file: bundle.file, tree: bundle.tree, resources: resources)
    }

    /// Tells every worker what a check has found, and keeps it for those that follow.
    func spread(_ update: HealthUpdate) {
        guard isChecked(update) else { return }
        let before = health.last { $0.upstream == update.upstream && $0.server == update.server }
        health.removeAll { $0.upstream == update.upstream && $0.server == update.server }
        health.append(update)
        for worker in workers { worker.tell(.health, update.encoded()) }
        let metadata: Logger.Metadata = [
            "upstream": "\(update.upstream)", "server": "\(update.server)", "reason": "\(update.reason)",
        ]
        if !update.isUp {
            log.error("server is down", metadata: metadata)
        } else if before?.isUp == false {
            log.notice("server is up again", metadata: metadata)
        } else {
            log.info("server is up", metadata: metadata)
        }
    }

    /// Drops what is known about servers that the configuration does not check any more.
    func forgetHealth() { health.removeAll { !isChecked($0) } }

    private func isChecked(_ update: HealthUpdate) -> Bool {
        // As long as a new configuration does not serve, the old one's servers count, too.
        let upstreams = configuration.upstreams + (previous?.configuration.upstreams ?? [])
        return upstreams.contains { upstream in
            upstream.health != nil && upstream.name == update.upstream
                && upstream.servers.contains { $0.value.description == update.server }
        }
    }
}
