internal import Platform
internal import TLS

/// Looks at everyhop itself on this host: what its workers may do, who reads its keys, what its logs tell.
public struct ProcessAudit {
    /// A file that holds a secret or a record.
    public struct GuardedFile {
        /// What it is, such as `key of certificate "portal"`.
        public var what: String
        /// Where it is.
        public var path: String

        /// A file.
        public init(what: String, path: String) {
            self.what = what
            self.path = path
        }
    }

    /// What the processes that run told the master of their sandboxes.
    public enum Told: Sendable {
        /// Those that have told.
        case processes([ConfinedProcess])
        /// The master was not asked, or said nothing: why.
        case unknown(reason: String)
    }

    /// The configuration's absolute path: whoever runs with it is looked at.
    public var configuration: String
    /// SHA-256 of its bytes.
    public var digest: String
    /// Files that nobody but everyhop may read.
    public var secrets: [GuardedFile]
    /// Logs.
    public var logs: [GuardedFile]
    /// Whether query strings are logged.
    public var logsQueries: Bool
    /// The audit log; nil when none is kept.
    public var auditLog: String?
    /// The head of the audit log in the last report that was kept; nil when there is none.
    public var knownHead: String?
    /// The admin address, and whether only this host reaches it.
    public var admin: (place: String, isLocal: Bool)?
    /// What processes told of their sandboxes; to be asked before it is looked at them.
    public var told: Told

    /// An audit of the process that runs with a configuration.
    public init(
        configuration: String,
        digest: String,
        secrets: [GuardedFile],
        logs: [GuardedFile],
        logsQueries: Bool,
        auditLog: String?,
        knownHead: String?,
        admin: (place: String, isLocal: Bool)?,
        told: Told
    ) {
        self.configuration = configuration
        self.digest = digest
        self.secrets = secrets
        self.logs = logs
        self.logsQueries = logsQueries
        self.auditLog = auditLog
        self.knownHead = knownHead
        self.admin = admin
        self.told = told
    }

    /// All that was found.
    public func report() -> HopReport {
        let processes = ProcessFacts.all()
        let master = processes.first(where: isMaster)
        let log = auditLog.map(read)
        var findings = [served(master, log), sandbox(master, processes), keyFiles(master), logFiles(), chain(log)]
        if let admin {
            findings.append(
                admin.isLocal
                    ? .holds(.processAdmin, "only this host reaches \(admin.place)")
                    : .fallsShort(.processAdmin, "other hosts reach \(admin.place)", remedy: "use a loopback address")
            )
        }
        return HopReport(
            kind: .process,
            name: "everyhop",
            place: master.map { "process \($0.identifier)" } ?? "not running",
            facts: [Fact("cryptography", FIPS.module)] + SandboxAudit.facts(),
            findings: findings
        )
    }

    /// `run` with this very configuration, however its path was given; or `demo`, which keeps its own in its folder.
    private func isMaster(_ process: ProcessFacts) -> Bool {
        let arguments = Array(process.arguments.dropFirst())
        let path: String
        switch arguments.first {
        case "run":
            guard let given = Self.value(of: ["--config", "-c"], in: arguments) else { return false }
            path = given
        case "demo": path = (Self.value(of: ["--folder"], in: arguments) ?? "demo") + "/everyhop.toml"
        default: return false
        }
        let whole = path.hasPrefix("/") ? path : (process.folder ?? "") + "/" + path
        return (try? File.absolutePath(whole)) == configuration
    }

    private static func value(of options: [String], in arguments: [String]) -> String? {
        for (option, value) in zip(arguments, arguments.dropFirst()) where options.contains(option) { return value }
        for argument in arguments {
            for option in options where argument.hasPrefix("\(option)=") {
                return String(argument.dropFirst(option.count + 1))
            }
        }
        return nil
    }

    private func sandbox(_ master: ProcessFacts?, _ processes: [ProcessFacts]) -> Finding {
        guard let master else {
            return .notChecked(.processSandbox, "nothing on this host runs with \(configuration)")
        }
        return SandboxAudit(master, processes, told).finding()
    }

    private func keyFiles(_ master: ProcessFacts?) -> Finding {
        var evidence: [Fact] = []
        var open: [String] = []
        var foreign: [String] = []
        let user = master?.user
        for file in secrets {
            do throws(Errno) {
                let facts = try FileFacts(file.path)
                evidence.append(Fact(file.what, "\(file.path): mode \(facts.modeText), owner \(facts.user)"))
                // A group may be made for those who have to read it; others never.
                if facts.mode & 0o027 != 0 { open.append(file.path) }
                // Whoever owns a file reads and changes it, whatever its mode.
                if let user, facts.user != 0, facts.user != user { foreign.append(file.path) }
            } catch {
                return .notChecked(.processKeyFiles, "\(file.path) cannot be looked at: \(error.message)", evidence)
            }
        }
        guard open.isEmpty else {
            let list = open.joined(separator: " ")
            let statement = "others may read or change \(open.joined(separator: ", "))"
            return .fallsShort(.processKeyFiles, statement, remedy: "chmod 600 \(list)", evidence)
        }
        if let user, !foreign.isEmpty {
            let list = foreign.joined(separator: " ")
            let statement = "another user than everyhop's owns \(foreign.joined(separator: ", "))"
            return .fallsShort(.processKeyFiles, statement, remedy: "chown \(user) \(list)", evidence)
        }
        return .holds(.processKeyFiles, "\(secrets.count) files with keys are closed to others", evidence)
    }

    private func logFiles() -> Finding {
        var evidence = [Fact("query strings", logsQueries ? "logged" : "not logged")]
        var open: [String] = []
        var unseen: [String] = []
        for file in logs {
            do throws(Errno) {
                let facts = try FileFacts(file.path)
                evidence.append(Fact(file.what, "\(file.path): mode \(facts.modeText)"))
                if facts.mode & 0o007 != 0 { open.append(file.path) }
            } catch {
                evidence.append(Fact(file.what, "\(file.path): \(error.message)"))
                unseen.append(file.path)
            }
        }
        if logsQueries {
            let remedy = "remove query = true from [log]"
            return .fallsShort(
                .processLogs,
                "the access log tells query strings, which may hold health data",
                remedy: remedy,
                evidence
            )
        }
        guard open.isEmpty else {
            let remedy = "chmod o-rwx \(open.joined(separator: " "))"
            return .fallsShort(
                .processLogs,
                "anybody on this host reads \(open.joined(separator: ", "))",
                remedy: remedy,
                evidence
            )
        }
        guard unseen.isEmpty else {
            let statement = "who reads \(unseen.joined(separator: ", ")) cannot be seen"
            return .notChecked(.processLogs, statement, evidence)
        }
        return .holds(.processLogs, "paths are logged without query strings, cookies and credentials never", evidence)
    }
}

extension ProcessAudit {
    /// What is looked at is what the file says; traffic goes by what was loaded.
    private func served(_ master: ProcessFacts?, _ log: Result<AuditLogVerification, Errno>?) -> Finding {
        guard let master else {
            return .notChecked(.processConfiguration, "nothing on this host runs with \(configuration)")
        }
        guard case .success(let log) = log, log.broken == nil, let serves = log.serves else {
            return .notChecked(.processConfiguration, "no whole audit log tells which configuration serves")
        }
        // One that was killed has written no end, and the next one not yet its start.
        guard log.servedBy == "\(master.identifier)" else {
            return .notChecked(.processConfiguration, "the audit log does not tell what this process serves")
        }
        let evidence = [Fact("SHA-256 of what serves", serves), Fact("SHA-256 of the file", digest)]
        guard serves == digest else {
            return .fallsShort(
                .processConfiguration,
                "what serves is not this file, which was changed and not loaded since",
                remedy: "reload everyhop (SIGHUP), and look in its log whether that was refused",
                evidence
            )
        }
        return .holds(.processConfiguration, "what serves is this very file", evidence)
    }

    private func read(_ path: String) -> Result<AuditLogVerification, Errno> {
        Result { () throws(Errno) in AuditLogVerification(try File.read(path, limit: 1 << 30), sought: knownHead) }
    }

    /// Whether the audit log is whole; its head in a signed report proves later that nothing was cut off before.
    private func chain(_ result: Result<AuditLogVerification, Errno>?) -> Finding {
        guard let path = auditLog, let result else {
            let remedy = "name a file as log in [audit]"
            return .fallsShort(.processAuditLog, "no audit log is kept", remedy: remedy)
        }
        let log: AuditLogVerification
        do throws(Errno) { log = try result.get() } catch {
            return .notChecked(.processAuditLog, "the audit log \(path) cannot be read: \(error.message)")
        }
        let evidence = [
            Fact("file", path), Fact("entries", "\(log.entries)"),
            Fact("last", "number \(log.last) of \(log.lastTime)"),
            Fact("head", log.head),
        ]
        if let broken = log.broken {
            let remedy = "keep the file as evidence, find out who changed it, and begin another one"
            let statement = "line \(broken.line) of the audit log \(broken.reason)"
            return .fallsShort(.processAuditLog, statement, remedy: remedy, evidence)
        }
        // It is never empty: a start is its first entry, and a rotation that of every file after it.
        guard log.entries > 0 else {
            let remedy = "find out who emptied it; a restart of everyhop begins another chain"
            return .fallsShort(.processAuditLog, "the audit log \(path) has no entry", remedy: remedy, evidence)
        }
        // After a rotation, it may stand in the file before this one.
        if let knownHead, !log.hasSought, log.continues == nil {
            return .fallsShort(
                .processAuditLog,
                "the line that the last report ended with is gone: lines were cut off, or the log was begun anew",
                remedy: "find out who cut the log; what is missing was written before the last report",
                evidence + [Fact("head in the last report", knownHead)]
            )
        }
        return .holds(.processAuditLog, "\(log.entries) entries, each with the digest of the one before it", evidence)
    }
}
