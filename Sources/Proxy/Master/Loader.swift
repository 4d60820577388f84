import ACME
import Config
import Platform
import TLS

/// Loads a configuration: parses the file, reads what it names, checks all of it, in a process of its own.
///
/// Whatever a file does to the parser, the process that called keeps running.
struct Loader {
    /// How long a loader may take, in milliseconds.
    private static let patience: CInt = 60_000

    /// Has a child load `file`.
    ///
    /// - Parameter keepsCertificates: whether self-signed certificates are made and kept where there are none yet.
    static func load(_ file: String, keepsCertificates: Bool) -> LoadReport {
        do {
            var pipe = try File.pipe()
            let reading = pipe.takeFirst()
            let child: Int32
            do {
                let writing = pipe.takeSecond()
                child = try ChildProcess.spawnSelf(
                    ["load", file] + (keepsCertificates ? ["--keep-certificates"] : []),
                    descriptors: [],
                    standardOutput: writing.raw
                )
            }
            let bytes = try File.readAll(reading, limit: ControlChannel.limit, milliseconds: patience)
            let status = ChildProcess.wait(for: child)
            guard status == 0, let report = try? LoadReport(decoding: bytes) else {
                return failed(file, "the loader ended with \(status < 0 ? "signal \(-status)" : "status \(status)")")
            }
            return report
        } catch { return failed(file, "the loader could not be run: \(error)") }
    }

    private static func failed(_ file: String, _ reason: String) -> LoadReport {
        LoadReport(findings: "\(file): error: \(reason)\n", bundle: nil)
    }

    private let file: String
    let keepsCertificates: Bool
    /// What is served now, when only what may be replaced in it is read again.
    let present: Bundle?
    /// What files looked like right before they were read.
    private var seen: [String: FileSignature] = [:]
    /// Certificates that must not be used.
    private var refused: Set<String> = []
    private var source: [UInt8] = []
    private var diagnostics: [Diagnostic] = []
    var resources: [String: [UInt8]] = [:]
    /// What of the sandbox this host does not permit, and why.
    var sandboxLacks: [Sandbox.Layer: String] = [:]

    private init(_ file: String, keepsCertificates: Bool, present: Bundle? = nil) {
        self.file = file
        self.keepsCertificates = keepsCertificates
        self.present = present
    }

    /// The child's work when only what may be replaced is read again; certificates that are not good are left out.
    ///
    /// - Parameter present: what is served now, of which the keys are not needed.
    static func run(again present: Bundle) -> LoadReport {
        var loader = Loader(present.file, keepsCertificates: true, present: present)
        return loader.loadAgain(present)
    }

    private mutating func loadAgain(_ present: Bundle) -> LoadReport {
        guard let configuration = try? present.configuration() else {
            return LoadReport(findings: "\(file): error: the present configuration cannot be read\n", bundle: nil)
        }
        readCertificates(configuration)
        readStaples(configuration)
        readAuthorities(configuration)
        readTicketKeys(configuration)
        readClientAuthorities(configuration)
        readRevocation(configuration)
        for name in refused {
            resources[CertificateStore.chainName(name)] = nil
            resources[CertificateStore.keyName(name)] = nil
        }
        // What else there is to say was said when the configuration was loaded.
        diagnostics.removeAll { $0.severity != .error }
        return LoadReport(
            findings: findings,
            bundle: Bundle(file: file, tree: present.tree, resources: resources),
            seen: seen
        )
    }

    /// The child's work.
    ///
    /// - Parameter lacks: what of the sandbox this host does not permit.
    static func run(_ file: String, keepsCertificates: Bool, lacks: [Sandbox.Layer: String] = [:]) -> LoadReport {
        var loader = Loader(file, keepsCertificates: keepsCertificates)
        loader.sandboxLacks = lacks
        return loader.load()
    }

    private mutating func load() -> LoadReport {
        guard TLSLibrary.isUsable else {
            return LoadReport(findings: "\(file): error: \(TLSLibrary.uselessness)\n", bundle: nil)
        }
        do {
            source = try File.read(file, limit: 2 << 20)
        } catch {
            return LoadReport(findings: "\(file): error: cannot be read: \(error.message)\n", bundle: nil)
        }
        resources[CertificateStore.digestName] = Array(SHA256.hexadecimal(source).utf8)
        let document: TOMLDocument
        do {
            document = try TOMLDocument.parse(source)
        } catch {
            diagnostics.append(Diagnostic(at: error.position, error.message))
            return report(nil)
        }
        let decoded = Configuration.decode(document)
        diagnostics = decoded.diagnostics
        let configuration = decoded.configuration
        demandFIPS(configuration)
        readCertificates(configuration)
        readStaples(configuration)
        readAuthorities(configuration)
        readTicketKeys(configuration)
        readStickySecrets(configuration)
        readRouting(configuration)
        readRevocation(configuration)
        readIssuerFiles(configuration)
        checkCredentials(configuration)
        checkClientsTrust(configuration)
        checkFolders(configuration)
        checkUser(configuration)
        checkSandbox(configuration)
        diagnostics += configuration.provider.diagnostics(today: Self.latestDay())
        return report(Bundle(file: file, tree: document.encoded(), resources: resources))
    }

    private func report(_ bundle: Bundle?) -> LoadReport {
        let isUsable = !diagnostics.contains { $0.severity == .error }
        return LoadReport(findings: findings, bundle: isUsable ? bundle : nil, seen: seen)
    }

    private var findings: String {
        let sorted = diagnostics.enumerated().sorted {
            ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
        }
        return sorted.map { $0.element.rendered(file: file, source: source) }.joined()
    }

    // MARK: files

    /// A path of the configuration, taken from the configuration's folder.
    func resolved(_ path: String) -> String { Self.resolved(path, beside: file) }

    static func resolved(_ path: String, beside file: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
        return String(file[...slash]) + path
    }

    mutating func read(_ path: Located<String>, _ what: String) -> [UInt8]? {
        note(resolved(path.value))
        do {
            return try File.read(resolved(path.value))
        } catch {
            diagnostics.append(
                Diagnostic(
                    at: path.position,
                    "\(what) \"\(path.value)\" cannot be read: \(error.message)",
                    fix: path.value.hasPrefix("/")
                        ? "" : "the path is relative to the configuration file: \(resolved(path.value))"
                )
            )
            return nil
        }
    }

    /// Writes down what a file looks like before it is read: whoever changes it from now on is noticed.
    mutating func note(_ path: String) { seen[path] = FileSignature(path: path) }

    mutating func complain(
        _ severity: Diagnostic.Severity = .error,
        at position: Position,
        _ message: String,
        fix: String = ""
    ) {
        diagnostics.append(Diagnostic(severity, at: position, message, fix: fix))
    }

    // MARK: certificates

    private mutating func readCertificates(_ configuration: Configuration) {
        var facts: [String: CertificateFacts] = [:]
        for certificate in configuration.certificates {
            guard let pair = readPair(certificate, configuration) else { continue }
            do throws(CertificateError) {
                let identity = try ServerIdentity(chainPEM: pair.chain, keyPEM: pair.key)
                let isIssued = if case .acme = certificate.source { true } else { false }
                // One that is served already is nothing that could be refused.
                if !isIssued, present?.resources[CertificateStore.chainName(certificate.name)] != pair.chain {
                    facts[certificate.name] = identity.facts
                    checkTime(identity.facts, certificate)
                }
                resources[CertificateStore.chainName(certificate.name)] = pair.chain
                resources[CertificateStore.keyName(certificate.name)] = pair.key
            } catch {
                complain(
                    at: pair.position(for: error),
                    "certificate \"\(certificate.name)\": \(error)",
                    fix: Self.fix(error)
                )
            }
        }
        for site in configuration.sites {
            for binding in site.bindings {
                checkCoverage(binding, facts)
                checkKinds(binding, facts)
            }
        }
    }

    /// Certificate and key as PEM, and where the configuration names them.
    private struct Pair {
        let chain: [UInt8]
        let key: [UInt8]
        let chainPosition: Position
        let keyPosition: Position

        func position(for error: CertificateError) -> Position {
            error == .noKey || error == .keyMismatch ? keyPosition : chainPosition
        }
    }

    private mutating func readPair(_ certificate: Certificate, _ configuration: Configuration) -> Pair? {
        switch certificate.source {
        case .files(let chain, let key):
            let chainBytes = read(chain, "chain")
            let keyBytes = read(key, "key")
            guard let chainBytes, let keyBytes else { return nil }
            return Pair(chain: chainBytes, key: keyBytes, chainPosition: chain.position, keyPosition: key.position)
        case .pfx(let path, let passwordFile):
            let password = passwordFile.map { read($0, "password_file") }
            guard let bytes = read(path, "pfx") else { return nil }
            if password != nil, password == .some(nil) { return nil }
            // An editor ends the file with a line end that is not part of the password.
            let secret = (password?.flatMap { $0 } ?? []).filter { $0 != 0x0A && $0 != 0x0D }
            do throws(CertificateError) {
                let parts = try PFX.read(bytes, password: secret)
                return Pair(
                    chain: parts.chainPEM,
                    key: parts.keyPEM,
                    chainPosition: path.position,
                    keyPosition: path.position
                )
            } catch {
                complain(at: path.position, "pfx \"\(path.value)\": \(error)", fix: "check password_file")
                return nil
            }
        case .selfSigned(let names):
            return selfSigned(certificate, names)
        case .acme(let settings):
            guard let state = configuration.server.state?.value,
                let file = issued(certificate, settings, state: state)
            else { return nil }
            let position = certificate.position
            return Pair(chain: file.chainPEM, key: file.keyPEM, chainPosition: position, keyPosition: position)
        }
    }

    /// The certificate that was kept for these names, or a new one.
    private mutating func selfSigned(_ certificate: Certificate, _ names: [String]) -> Pair? {
        let chainPath = resolved("\(certificate.name).self-signed.pem")
        let keyPath = resolved("\(certificate.name).self-signed.key")
        let position = certificate.position
        note(chainPath)
        note(keyPath)
        if let chain = try? File.read(chainPath), let key = try? File.read(keyPath),
            let facts = try? CertificateFacts.read(pem: chain).first,
            Self.isFresh(facts, now: Int64(Clock.unixMicroseconds() / 1_000_000)),
            names.allSatisfy({ facts.covers($0) || facts.names.contains($0) })
        {
            return Pair(chain: chain, key: key, chainPosition: position, keyPosition: position)
        }
        do {
            let made = try CertificateMaker.selfSigned(names: names)
            if keepsCertificates {
                try File.write(made.keyPEM, to: keyPath, mode: 0o600)
                try File.write(made.certificatePEM, to: chainPath, mode: 0o644)
            }
            return Pair(chain: made.certificatePEM, key: made.keyPEM, chainPosition: position, keyPosition: position)
        } catch {
            complain(
                at: position,
                "certificate \"\(certificate.name)\" cannot be made: \(error)",
                fix: "let everyhop write \(chainPath), or make it with `everyhop cert self-signed`"
            )
            return nil
        }
    }

    /// Whether one that was kept may go on: a clock that was wrong once may have made one for another time.
    private static func isFresh(_ facts: CertificateFacts, now: Int64) -> Bool {
        facts.notBefore <= now && facts.notAfter > now + 14 * 86_400
    }

    private mutating func checkTime(_ facts: CertificateFacts, _ certificate: Certificate) {
        let position: Position
        switch certificate.source {
        case .files(let chain, _): position = chain.position
        case .pfx(let path, _): position = path.position
        case .selfSigned, .acme: position = certificate.position
        }
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        if facts.notAfter < now || facts.notBefore > now { refused.insert(certificate.name) }
        if facts.notAfter < now {
            complain(
                at: position,
                "certificate \"\(certificate.name)\" expired \((now - facts.notAfter) / 86_400) days ago",
                fix: "renew it"
            )
        } else if facts.notBefore > now {
            complain(
                at: position,
                "certificate \"\(certificate.name)\" is not valid yet",
                fix: "check the clock, or wait"
            )
        } else if facts.notAfter < now + 14 * 86_400 {
            complain(
                .warning,
                at: position,
                "certificate \"\(certificate.name)\" expires in \((facts.notAfter - now) / 86_400) days",
                fix: "renew it"
            )
        }
    }

    private mutating func checkCoverage(_ binding: Binding, _ facts: [String: CertificateFacts]) {
        guard let host = binding.host else { return }
        for name in binding.certificates {
            guard let certificate = facts[name.value] else { continue }
            let text = host.value.description
            let isCovered =
                host.value.isWildcard
                ? certificate.names.contains { $0.lowercased() == text } : certificate.covers(text)
            if isCovered { continue }
            refused.insert(name.value)
            let names = (certificate.names + certificate.addresses).joined(separator: ", ")
            complain(
                at: host.position,
                "certificate \"\(name.value)\" does not cover host \"\(text)\"",
                fix: "it is for \(names.isEmpty ? "no name" : names); use another certificate or host"
            )
        }
    }

    /// Of two certificates with keys of one kind, TLS would use the last and say nothing.
    private mutating func checkKinds(_ binding: Binding, _ facts: [String: CertificateFacts]) {
        guard binding.certificates.count == 2, let first = facts[binding.certificates[0].value],
            let second = facts[binding.certificates[1].value]
        else { return }
        let kind = second.keyType.prefix { $0 != " " }
        guard first.keyType.prefix(while: { $0 != " " }) == kind else { return }
        refused.formUnion(binding.certificates.map(\.value))
        complain(
            at: binding.certificates[1].position,
            "both certificates of the binding have a key of the kind \(kind)",
            fix: "name one, or an ECDSA and an RSA one"
        )
    }

    private static func fix(_ error: CertificateError) -> String {
        switch error {
        case .keyMismatch: "name the key that the certificate was made with"
        case .noKey: "name a PEM private key without a password"
        case .noCertificate: "name a PEM file, the server's certificate first"
        case .badPFX, .noRevocationList, .invalidName, .library: ""
        }
    }

    // MARK: the rest

    private mutating func readAuthorities(_ configuration: Configuration) {
        for upstream in configuration.upstreams {
            let name = CertificateStore.authoritiesName(upstream.name)
            readAuthorities(
                upstream.trust,
                as: name,
                upstream.servers.map(\.address),
                hasName: upstream.serverName != nil
            )
        }
        for database in configuration.databases {
            let name = CertificateStore.databaseAuthoritiesName(database.name)
            readAuthorities(database.trust, as: name, [database.server], hasName: database.serverName != nil)
            guard database.legacy else { continue }
            complain(
                .warning,
                at: database.position,
                "legacy: TLS \(database.oldestTLS?.rawValue ?? "1.0") and weak suites are spoken to \(database.server.value)",
                fix: "renew the server; until then, its pin is what protects it"
            )
        }
    }

    private mutating func readTicketKeys(_ configuration: Configuration) {
        guard let path = configuration.tls.ticketKeys, let bytes = read(path, "keys") else { return }
        if TicketKeys(decoding: bytes) != nil {
            resources[CertificateStore.ticketKeysName] = bytes
        } else {
            complain(
                at: path.position,
                "\"\(path.value)\" holds no ticket keys",
                fix: "make one of 80 random bytes: openssl rand 80 > FILE"
            )
        }
    }

    private mutating func readStickySecrets(_ configuration: Configuration) {
        for upstream in configuration.upstreams {
            guard let path = upstream.sticky?.secret, let bytes = read(path, "secret") else { continue }
            if bytes.count >= 16, bytes.count <= 4096 {
                resources[CertificateStore.stickyName(upstream.name)] = bytes
            } else {
                complain(
                    at: path.position,
                    "secret \"\(path.value)\" has \(bytes.count) bytes instead of 16 to 4096",
                    fix: "make one: openssl rand 32 > FILE"
                )
            }
        }
    }

    /// The day that it is where it is latest, at UTC+14: who writes today's date there is not ahead of time.
    private static func latestDay() -> CalendarDay {
        CalendarDay(unixSeconds: Int64(Clock.unixMicroseconds() / 1_000_000) + 14 * 3600)
    }

    /// Only audits need it, but they must not find out that it is missing.
    private mutating func checkClientsTrust(_ configuration: Configuration) {
        guard let path = configuration.audit.clientsTrust, let bytes = read(path, "clients_trust") else { return }
        do throws(CertificateError) { _ = try CertificateFacts.read(pem: bytes) } catch {
            complain(
                at: path.position,
                "clients_trust \"\(path.value)\": \(error)",
                fix: "name a PEM file of authorities"
            )
        }
    }

    /// Passwords for audits are looked at, never read here: whatever this returns goes to workers.
    private mutating func checkCredentials(_ configuration: Configuration) {
        for database in configuration.databases {
            guard let file = database.credentials?.passwordFile else { continue }
            do throws(SecretFile.Failure) { try SecretFile.check(resolved(file.value)) } catch {
                switch error {
                case .exposed(_, let mode):
                    complain(
                        at: file.position,
                        "password_file \"\(file.value)\" can be read by others than its owner (mode 0\(String(mode, radix: 8)))",
                        fix: "chmod 0600 \(resolved(file.value))"
                    )
                case .unreadable(_, let errno):
                    complain(
                        .warning,
                        at: file.position,
                        "password_file \"\(file.value)\" cannot be looked at: \(errno.message)",
                        fix: "make it, or audits cannot ask database \"\(database.name)\" how it stores its data"
                    )
                }
            }
        }
    }

    private mutating func checkUser(_ configuration: Configuration) {
        guard let user = configuration.server.user, Privileges.isRoot, Privileges.lookUp(user: user.value) == nil else {
            return
        }
        complain(
            at: user.position,
            "there is no user \"\(user.value)\"",
            fix: "make it with: adduser --system --group \(user.value)"
        )
    }
}
