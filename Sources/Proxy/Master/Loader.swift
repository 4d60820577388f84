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
    /// - Parameters:
    ///   - keepsCertificates: whether self-signed certificates are made and kept where there are none yet.
    ///   - takesOver: whether another program serves, whose certificates are not to be lost.
    ///   - demandsValidity: whether certificates that are not valid now are errors, and not only warnings.
    static func load(
        _ file: String,
        keepsCertificates: Bool,
        takesOver: Bool = false,
        demandsValidity: Bool = false
    ) -> LoadReport {
        do {
            var pipe = try File.pipe()
            let reading = pipe.takeFirst()
            let child: Int32
            do {
                let writing = pipe.takeSecond()
                child = try ChildProcess.spawnSelf(
                    ["load", file] + (keepsCertificates ? ["--keep-certificates"] : [])
                        + (takesOver ? ["--takes-over"] : []) + (demandsValidity ? ["--demands-validity"] : []),
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
    /// What is served now, without its keys.
    let present: Bundle?
    /// Whether only what may be replaced in it is read again.
    let isAgain: Bool
    /// Whether another program serves what this one is to serve.
    private(set) var takesOver = false
    private(set) var demandsValidity = false
    /// What the files that may be replaced looked like right before they were read.
    private var seen: [String: FileSignature] = [:]
    private var isNoting = false
    /// Certificates that must not be used.
    var refused: Set<String> = []
    private var source: [UInt8] = []
    private var diagnostics: [Diagnostic] = []
    /// Warnings about what has changed, when only what may be replaced is read again.
    private var news: [Diagnostic] = []
    /// When a list becomes valid that was refused for coming too early, in seconds since 1970.
    var refusedUntil: Int64?
    var resources: [String: [UInt8]] = [:]
    /// What of the sandbox this host does not permit, and why.
    var sandboxLacks: [Sandbox.Layer: String] = [:]

    private init(_ file: String, keepsCertificates: Bool, present: Bundle?, isAgain: Bool = false) {
        self.file = file
        self.keepsCertificates = keepsCertificates
        self.present = present
        self.isAgain = isAgain
    }

    /// The child's work when only what may be replaced is read again; certificates that are not good are left out.
    ///
    /// - Parameter present: what is served now.
    static func run(again present: Bundle) -> LoadReport {
        var loader = Loader(present.file, keepsCertificates: true, present: present, isAgain: true)
        return loader.loadAgain(present)
    }

    private mutating func loadAgain(_ present: Bundle) -> LoadReport {
        guard let configuration = try? present.configuration() else {
            return LoadReport(findings: "\(file): error: the present configuration cannot be read\n", bundle: nil)
        }
        readReplaceable(configuration)
        for name in refused {
            resources[CertificateStore.chainName(name)] = nil
            resources[CertificateStore.keyName(name)] = nil
            resources[CertificateStore.stapleName(name)] = nil
        }
        // What else there is to say was said when the configuration was loaded.
        diagnostics.removeAll { $0.severity != .error }
        return LoadReport(
            findings: rendered(diagnostics),
            warnings: rendered(news),
            refusedUntil: refusedUntil,
            bundle: Bundle(file: file, tree: present.tree, resources: resources),
            seen: seen
        )
    }

    /// The child's work.
    ///
    /// - Parameters:
    ///   - present: what is served now, if anything is.
    ///   - takesOver: whether another program serves.
    ///   - demandsValidity: whether certificates that are not valid now are errors.
    ///   - lacks: what of the sandbox this host does not permit.
    static func run(
        _ file: String,
        keepsCertificates: Bool,
        present: Bundle? = nil,
        takesOver: Bool = false,
        demandsValidity: Bool = false,
        lacks: [Sandbox.Layer: String] = [:]
    ) -> LoadReport {
        var loader = Loader(file, keepsCertificates: keepsCertificates, present: present)
        loader.takesOver = takesOver
        loader.demandsValidity = demandsValidity
        loader.sandboxLacks = lacks
        return loader.load()
    }

    private mutating func load() -> LoadReport {
        guard TLSLibrary.isUsable else {
            return LoadReport(findings: "\(file): error: \(TLSLibrary.uselessness)\n", bundle: nil)
        }
        do {
            // A person's command may name a pipe; a reload is to find something there again.
            source = try File.read(file, limit: 2 << 20, orPipeFor: present == nil && !takesOver ? File.patience : 0)
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
        readReplaceable(configuration)
        readStickySecrets(configuration)
        readAnswers(configuration)
        readIssuerFiles(configuration)
        checkCredentials(configuration)
        checkClientsTrust(configuration)
        checkFolders(configuration)
        checkUser(configuration)
        checkSandbox(configuration)
        diagnostics += configuration.provider.diagnostics(today: Self.latestDay())
        return report(Bundle(file: file, tree: document.encoded(), resources: resources))
    }

    /// Reads what may be replaced while workers live on (`CertificateStore.isReplaceable`): the files that are watched.
    private mutating func readReplaceable(_ configuration: Configuration) {
        isNoting = true
        readCertificates(configuration)
        readStaples(configuration)
        readAuthorities(configuration)
        readTicketKeys(configuration)
        readClientAuthorities(configuration)
        readRevocation(configuration)
        isNoting = false
    }

    private func report(_ bundle: Bundle?) -> LoadReport {
        let isUsable = !diagnostics.contains { $0.severity == .error }
        return LoadReport(findings: rendered(diagnostics), bundle: isUsable ? bundle : nil, seen: seen)
    }

    private func rendered(_ diagnostics: [Diagnostic]) -> String {
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

    /// Writes down what a file looks like before it is read, if it may be replaced: whoever changes it from now on is noticed.
    mutating func note(_ path: String) { if isNoting { seen[path] = FileSignature(path: path) } }

    mutating func complain(
        _ severity: Diagnostic.Severity = .error,
        at position: Position,
        _ message: String,
        fix: String = ""
    ) {
        diagnostics.append(Diagnostic(severity, at: position, message, fix: fix))
    }

    /// Warns; when only what may be replaced is read again, of what has changed alone.
    mutating func warn(isNews: Bool, at position: Position, _ message: String, fix: String) {
        guard isAgain else { return complain(.warning, at: position, message, fix: fix) }
        if isNews { news.append(Diagnostic(.warning, at: position, message, fix: fix)) }
    }

    // MARK: authorities

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
