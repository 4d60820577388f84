import ACME
import Config
import Platform
import TLS

/// The issuer process: asks authorities for certificates, which may wait.
///
/// It keeps no file: the master writes what has to be kept, and has the workers show what proves who is served here.
struct IssuerTask: ~Copyable {
    /// How often the clock is looked at, in seconds.
    private static let longestRest: Int64 = 600
    /// How long the master and the workers may take, in milliseconds.
    private static let patience: UInt64 = 60_000

    private let certificates: [(certificate: Certificate, settings: ACMESettings)]
    private let bundle: Bundle
    private var channel: ControlChannel
    private var proofs: ProofTable
    /// The newest table that every worker shows.
    private var shown = 0
    /// Whether the last thing was kept, and why not; nil until the master has said so.
    private var kept: String?
    /// What is remembered; also when the disk takes nothing.
    private var records: [String: CertificateRecord] = [:]
    /// The certificates that there are.
    private var present: [String: CertificateFacts] = [:]
    /// The keys of accounts, as PEM.
    private var accounts: [String: [UInt8]] = [:]

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws {
        var task = IssuerTask(setup)
        try task.run()
    }

    private init(_ setup: consuming HelperSetup) {
        certificates = setup.configuration.issuedCertificates
        bundle = setup.bundle
        // Different from those of processes before this one.
        proofs = ProofTable(version: Int(clamping: Clock.unixMicroseconds()))
        for (certificate, settings) in certificates {
            let name = certificate.name
            records[name] = bundle.resources[IssuerFiles.record(name)].flatMap { CertificateRecord(json: $0) }
            present[name] =
                bundle.resources[IssuerFiles.present(name)]
                .flatMap { try? CertificateFacts.read(pem: $0) }?.first
            accounts[settings.accountName] = bundle.resources[IssuerFiles.account(settings.accountName)]
        }
        channel = setup.takeChannel()
    }

    private static var now: Int64 { Int64(clamping: Clock.unixMicroseconds() / 1_000_000) }

    private mutating func run() throws {
        for (certificate, settings) in certificates { try tell(.state, certificate.name, settings) }
        while true {
            var next = Self.now + Self.longestRest
            for (certificate, settings) in certificates {
                if due(certificate.name, settings) <= Self.now { try renew(certificate.name, settings) }
                next = min(next, due(certificate.name, settings))
            }
            // At least a moment: a clock may jump.
            try rest(milliseconds: UInt64(max(1, next - Self.now)) * 1000)
        }
    }

    private func due(_ name: String, _ settings: ACMESettings) -> Int64 {
        RenewalPlan.next(
            present[name],
            records[name] ?? CertificateRecord(),
            asks: settings.question,
            now: Self.now
        )
    }

    // MARK: one certificate

    private mutating func renew(_ name: String, _ settings: ACMESettings) throws {
        var record = records[name] ?? CertificateRecord()
        var event = IssuanceUpdate.Event.issued
        do {
            let file = try issue(settings)
            try keep(.certificate, name, file.bytes)
            present[name] = try CertificateFacts.read(pem: file.chainPEM).first
            record.succeeded(settings.directory.value.description, now: Self.now)
        } catch let error as MasterGone { throw error } catch {
            event = .failed
            let failure = error as? IssuanceFailure ?? IssuanceFailure("\(error)")
            let jitter = Double.random(in: 0...1)
            record.failed(failure, asked: settings.question.text, now: Self.now, jitter: jitter)
        }
        try hideProofs()
        records[name] = record
        do { try keep(.record, name, record.json) } catch let failure as IssuanceFailure { try complain("\(failure)") }
        try tell(event, name, settings)
    }

    /// Asks the authority, step by step.
    private mutating func issue(_ settings: ACMESettings) throws -> CertificateFile {
        let client = DirectoryClient(trust: try trust(settings))
        let csr = try CertificateMaker.request(
            names: settings.names.map(\.value.description),
            key: settings.key.kind,
            hasCommonName: false
        )
        var issuance = Issuance(
            settings,
            account: account(settings),
            key: try accountKey(settings.accountName),
            csr: csr
        )
        var step = issuance.begin()
        while true {
            switch step {
            case .ask(let request):
                // Each question may wait; the master asks meanwhile whether anybody is there.
                let answer = try client.ask(request) { try listen(milliseconds: 0) }
                step = issuance.received(answer, now: Self.now)
            case .show(let proof):
                try show(proof)
                step = issuance.shown()
            case .wait(let seconds):
                try rest(milliseconds: seconds * 1000)
                step = issuance.passed()
            case .issued(let chain): return CertificateFile(chainPEM: chain, keyPEM: csr.keyPEM)
            case .failed(let failure): throw failure
            }
        }
    }

    private func trust(_ settings: ACMESettings) throws -> ClientContext.Trust {
        guard let trust = settings.trust else {
            guard let authorities = SystemAuthorities.read() else {
                throw IssuanceFailure("this host has no list of authorities: give acme trust = { ca = \"FILE\" }")
            }
            return ClientContext.Trust(authoritiesPEM: authorities, pins: [])
        }
        return ClientContext.Trust(
            authoritiesPEM: trust.ca.map { bundle.resources[IssuerFiles.authorities($0.value)] ?? [] },
            pins: trust.pins.compactMap { PublicKeyPin(digest: $0.digest) }
        )
    }

    /// The account's key, made when there is none yet.
    private mutating func accountKey(_ account: String) throws -> AccountKey {
        if let pem = accounts[account] { return try AccountKey(pem: pem) }
        let key = try AccountKey.make()
        let pem = try key.pem()
        try keep(.account, account, pem)
        accounts[account] = pem
        return key
    }

    private func account(_ settings: ACMESettings) -> AccountSettings {
        let external = settings.externalAccount.flatMap { account in
            AccountSettings.External(
                identifier: account.identifier,
                encodedKey: bundle.resources[IssuerFiles.accountKey(account.keyFile.value)] ?? []
            )
        }
        return AccountSettings(email: settings.email, external: external)
    }

    // MARK: the master

    /// The master is gone, and nobody is left to issue for.
    private struct MasterGone: Error {}

    /// Returns when every worker shows it.
    private mutating func show(_ proof: Issuance.Proof) throws {
        proofs.entries.append(try ProofTable.Entry(proof))
        try tellOfProofs()
        let version = proofs.version
        try waitFor("the workers do not show the proof in time") { $0.shown == version }
    }

    /// Returns when the master has it on its disk.
    private mutating func keep(_ part: CertificateFolder.Part, _ name: String, _ bytes: [UInt8]) throws {
        kept = nil
        try send(.keep, KeptPart(part, name, bytes).encoded())
        try waitFor("the master does not keep a file in time") { $0.kept != nil }
        if let failure = kept, !failure.isEmpty { throw IssuanceFailure(failure) }
    }

    private mutating func waitFor(_ failure: String, _ condition: (borrowing IssuerTask) -> Bool) throws {
        let end = Clock.monotonicMicroseconds() / 1000 + Self.patience
        while !condition(self) {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { throw IssuanceFailure(failure) }
            try listen(milliseconds: end - now)
        }
    }

    private mutating func hideProofs() throws {
        guard !proofs.entries.isEmpty else { return }
        proofs.entries = []
        try tellOfProofs()
    }

    private mutating func tellOfProofs() throws {
        proofs.version += 1
        try send(.proofs, proofs.encoded())
    }

    private mutating func tell(_ event: IssuanceUpdate.Event, _ name: String, _ settings: ACMESettings) throws {
        let update = IssuanceUpdate(
            event,
            name,
            isIssued: present[name] != nil,
            next: due(name, settings),
            records[name] ?? CertificateRecord()
        )
        try send(.issuance, update.encoded())
    }

    private mutating func complain(_ text: String) throws { try send(.failed, Array(text.utf8)) }

    private mutating func send(_ kind: ControlKind, _ payload: [UInt8]) throws {
        do {
            try channel.send(kind: kind.rawValue, payload)
            try channel.flushWaiting()
        } catch { throw MasterGone() }
    }

    private mutating func rest(milliseconds: UInt64) throws {
        let end = Clock.monotonicMicroseconds() / 1000 + milliseconds
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { return }
            try listen(milliseconds: end - now)
        }
    }

    private mutating func listen(milliseconds: UInt64) throws {
        do {
            guard try channel.waitForMaster(milliseconds: milliseconds) else { return }
            while let message = try channel.receive() {
                var reader = WireReader(message.payload)
                switch ControlKind(rawValue: message.kind) {
                case .proofsShown: shown = try reader.int()
                case .ping: try channel.send(kind: ControlKind.pong.rawValue)
                case .kept: kept = String(decoding: message.payload, as: UTF8.self)
                default: break
                }
            }
        } catch { throw MasterGone() }
    }
}

/// What the files are called that only the issuer gets.
enum IssuerFiles {
    static let prefix = "acme."
    static func authorities(_ path: String) -> String { "\(prefix)ca.\(path)" }
    static func accountKey(_ path: String) -> String { "\(prefix)eab.\(path)" }
    static let statePrefix = "\(prefix)state."
    /// A certificate that is no placeholder, without its key.
    static func present(_ name: String) -> String { "\(statePrefix)present.\(name)" }
    static func record(_ name: String) -> String { "\(statePrefix)record.\(name)" }
    static func account(_ name: String) -> String { "\(statePrefix)account.\(name)" }
}

extension ACMESettings {
    /// What is asked for.
    var question: RenewalPlan.Question {
        RenewalPlan.Question(
            directory: directory.value.description,
            names: names.map(\.value.description),
            key: key.kind,
            manner:
                "\(challenge.rawValue) \(trust?.ca?.value ?? "") \(externalAccount?.identifier ?? "") \(email ?? "")"
        )
    }

    /// What the key of the account is called.
    var accountName: String {
        CertificateFolder.accountName(directory: directory.value.description, external: externalAccount?.identifier)
    }
}

extension ACMESettings.Key {
    var kind: CertificateMaker.KeyKind {
        switch self {
        case .ecdsa: .ecdsa
        case .rsa: .rsa
        }
    }
}
