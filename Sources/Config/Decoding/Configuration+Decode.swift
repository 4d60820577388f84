extension Configuration {
    /// What came of a document.
    public struct Decoded: Sendable {
        /// What could be understood; to be used only when `isUsable`.
        public let configuration: Configuration
        /// Everything that is wrong, in the order of the file.
        public let diagnostics: [Diagnostic]

        /// Whether nothing is wrong that forbids its use.
        public var isUsable: Bool { !diagnostics.contains { $0.severity == .error } }
    }

    /// Finds the meaning of a document; all complaints at once.
    public static func decode(_ document: TOMLDocument) -> Decoded {
        let complaints = TableReader.Complaints()
        let root = TableReader(document.root, label: "the file", position: Position(line: 1, column: 1), complaints)
        var configuration = Configuration()
        if let table = root.table("server", label: "[server]") { configuration.server = Server(table) }
        if let table = root.table("log", label: "[log]") { configuration.log = Log(table) }
        if let table = root.table("tls", label: "[tls]") { configuration.tls = TLSSettings(table) }
        if let table = root.table("certificate", label: "[certificate]") {
            configuration.certificates = table.all().compactMap { Certificate($0, complaints) }
        }
        configuration.sites = root.tables("site", label: "[[site]]").compactMap { Site($0) }
        configuration.addOwnCertificates(complaints)
        configuration.upstreams = root.tables("upstream", label: "[[upstream]]").compactMap { Upstream($0) }
        configuration.databases = root.tables("database", label: "[[database]]").compactMap { Database($0) }
        if let table = root.table("audit", label: "[audit]") { configuration.audit = AuditSettings(table) }
        if let table = root.table("provider", label: "[provider]") { configuration.provider = Provider(table) }
        root.finish()
        if complaints.list.isEmpty || !configuration.sites.isEmpty || !configuration.databases.isEmpty {
            complaints.list += CrossChecks(configuration).run()
        }
        let sorted = complaints.list.enumerated().sorted {
            ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
        }
        return Decoded(configuration: configuration, diagnostics: sorted.map(\.element))
    }
}

extension Configuration {
    /// Certificates that bindings define themselves; bindings of one name share it if they say the same.
    fileprivate mutating func addOwnCertificates(_ complaints: TableReader.Complaints) {
        for certificate in sites.flatMap(\.bindings).compactMap(\.ownCertificate) {
            guard let other = certificates.first(where: { $0.name == certificate.name }) else {
                certificates.append(certificate)
                continue
            }
            guard case .acme(let first) = other.source, case .acme(let second) = certificate.source,
                first.isEqual(second)
            else {
                complaints.list.append(
                    Diagnostic(
                        at: certificate.position,
                        "certificate \"\(certificate.name)\" is defined otherwise, too",
                        fix: "line \(other.position.line) defines it first; define it once as [certificate.NAME]"
                    )
                )
                continue
            }
        }
    }
}
