import Config
import TLS

/// The files of routes and of clients' certificates.
extension Loader {
    mutating func readAnswers(_ configuration: Configuration) {
        for site in configuration.sites {
            for route in site.routes {
                guard case .respond(let answer) = route.action, case .file(let path) = answer.body else { continue }
                readAnswer(path)
            }
        }
    }

    /// What clients' certificates are verified by.
    mutating func readClientAuthorities(_ configuration: Configuration) {
        for binding in configuration.sites.flatMap(\.bindings) {
            if let path = binding.clients?.ca { readClientAuthorities(path) }
        }
    }

    private mutating func readAnswer(_ path: Located<String>) {
        guard let bytes = read(path, "file") else { return }
        if bytes.count <= StaticAnswer.bodyLimit {
            resources[RoutePlanner.answerName(path.value)] = bytes
        } else {
            complain(
                at: path.position,
                "file \"\(path.value)\" is larger than 64KiB",
                fix: "make it smaller, or serve it from an upstream"
            )
        }
    }

    private mutating func readClientAuthorities(_ path: Located<String>) {
        readAuthorities(
            path,
            as: CertificateStore.clientAuthoritiesName(path.value),
            key: "client_ca",
            kind: "the authorities that sign clients' certificates"
        )
    }
}
