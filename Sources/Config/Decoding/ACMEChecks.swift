/// What certificates of an authority need around them: a place to keep them, and a listener that answers for them.
struct ACMEChecks {
    private let configuration: Configuration
    private var list: [Diagnostic] = []

    init(_ configuration: Configuration) { self.configuration = configuration }

    func run() -> [Diagnostic] {
        var checks = self
        for (certificate, settings) in configuration.issuedCertificates {
            checks.check(certificate)
            checks.check(certificate, settings)
        }
        for site in configuration.sites { checks.hosts(of: site) }
        return checks.list
    }

    private mutating func check(_ certificate: Certificate) {
        if configuration.server.state == nil {
            list.append(
                Diagnostic(
                    at: certificate.position,
                    "there is no folder to keep certificate \"\(certificate.name)\" in",
                    fix: "add state = \"/var/lib/everyhop\" to [server]"
                )
            )
        }
        if !Certificate.isFolderName(certificate.name) {
            list.append(
                Diagnostic(
                    at: certificate.position,
                    "certificate \"\(certificate.name)\" is kept in a folder of its name, which it is not fit for",
                    fix: "use letters, digits, dots, hyphens and underscores, and no dot in front"
                )
            )
        }
    }

    /// Nobody else can answer for it.
    private mutating func check(_ certificate: Certificate, _ settings: ACMESettings) {
        switch settings.challenge {
        case .http01:
            guard configuration.sites.allSatisfy(\.redirects.isEmpty) else { return }
            list.append(
                Diagnostic(
                    at: certificate.position,
                    "http-01 is answered where plain http is redirected, and no site has a redirect",
                    fix: "add redirect = [\"*:80\"] to a [[site]], or use challenge = \"tls-alpn-01\""
                )
            )
        case .tlsALPN01:
            guard configuration.sites.isEmpty else { return }
            list.append(
                Diagnostic(
                    at: certificate.position,
                    "tls-alpn-01 is answered by bindings of sites, and there is no site",
                    fix: "add a [[site]]"
                )
            )
        }
    }

    /// A binding's host has to be one of the names: what is not issued yet cannot be looked at.
    private mutating func hosts(of site: Site) {
        for binding in site.bindings {
            guard let host = binding.host else { continue }
            for name in binding.certificates {
                let issued = configuration.issuedCertificates.first { $0.certificate.name == name.value }
                guard let settings = issued?.settings, !settings.names.contains(where: { $0.value == host.value })
                else { continue }
                list.append(
                    Diagnostic(
                        at: host.position,
                        "certificate \"\(name.value)\" does not cover host \"\(host.value)\"",
                        fix: "add it to the certificate's names"
                    )
                )
            }
        }
    }
}
