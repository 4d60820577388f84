internal import Platform
public import TLS

/// What vouches for a report: which file was signed, and with what.
public struct ReportSeal: Sendable {
    /// The JSON file's name.
    public let file: String
    /// SHA-256 of its bytes in hexadecimal digits.
    public let sha256: String
    /// How it is signed.
    public let kind: SignatureKind
    /// SHA-256 of the public key, written as a pin is.
    public let fingerprint: PublicKeyPin
}

/// A folder of reports, each signed and each naming the one before it.
public struct ReportStore {
    /// Why a report cannot be kept.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is wrong, and what to do.
        public let description: String
    }

    /// A report that was kept.
    public struct Written: Sendable {
        /// The report as it stands in the file, with the one before it.
        public let report: AuditReport
        /// What vouches for it.
        public let seal: ReportSeal
        /// The path of the JSON file.
        public let json: String
        /// The path of the HTML file; nil when none was asked for.
        public let html: String?
    }

    /// The file of the key that is made on first use.
    public static let keyName = "audit.key"
    /// The file of the public key.
    public static let publicKeyName = "audit.pub"

    private let folder: String
    private let key: SigningKey
    private let fingerprint: PublicKeyPin

    /// Opens a folder, and makes it and its key when they are not there.
    ///
    /// - Parameter keyFile: a PEM private key of one's own; nil for the one in the folder.
    public init(folder: String, keyFile: String?) throws(Failure) {
        self.folder = folder
        do {
            try File.makeFolder(folder)
            let lock = try Folder.lock(folder)
            key = try Self.openKey(folder, keyFile)
            fingerprint = try PublicKey(pem: key.publicPEM).fingerprint
            _ = consume lock
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "\(folder): \(error)")
        }
    }

    /// The last report that was kept; nil when there is none.
    public func previous() throws(Failure) -> AuditReport.Previous? {
        do { return try lastReport()?.previous } catch { throw Failure(description: "\(folder): \(error)") }
    }

    /// Keeps a report, as JSON and if asked for as HTML, signed, and following the last one.
    ///
    /// Another audit may have kept a report since this one began, so the one before it is found now, while nobody else
    /// can write.
    public func write(_ report: AuditReport, html wantsHTML: Bool) throws(Failure) -> Written {
        do {
            let lock = try Folder.lock(folder)
            defer { _ = lock.raw }
            let last = try lastReport()
            guard let name = ReportName(begun: report.begun, after: last?.name) else {
                throw Failure(description: "\"\(report.begun)\" is no time")
            }
            var report = report
            report.previous = last?.previous
            let json = try report.json()
            try put(json, name.description)
            let seal = ReportSeal(
                file: name.description,
                sha256: SHA256.hexadecimal(json),
                kind: key.kind,
                fingerprint: fingerprint
            )
            // After the JSON: a page without its report has lost it.
            if wantsHTML { try put(Array(HTMLReport(report, seal: seal).render().utf8), name.html) }
            return Written(
                report: report,
                seal: seal,
                json: "\(folder)/\(name)",
                html: wantsHTML ? "\(folder)/\(name.html)" : nil
            )
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "\(folder): \(error)")
        }
    }

    private func lastReport() throws -> (name: ReportName, previous: AuditReport.Previous)? {
        guard let name = ReportName.all(of: try Folder.names(in: folder)).last else { return nil }
        let bytes = try File.read("\(folder)/\(name)")
        return (name, AuditReport.Previous(file: name.description, sha256: SHA256.hexadecimal(bytes)))
    }

    /// The signature goes first: a report that is there is signed.
    private func put(_ bytes: [UInt8], _ name: String) throws {
        try File.write(try key.sign(bytes), to: "\(folder)/\(name).sig", mode: 0o640)
        try File.create(bytes, at: "\(folder)/\(name)", mode: 0o640)
        try Folder.sync(folder)
    }

    // MARK: keys

    private static func openKey(_ folder: String, _ keyFile: String?) throws -> SigningKey {
        let own = "\(folder)/\(keyName)"
        let published = "\(folder)/\(publicKeyName)"
        let key: SigningKey
        if let keyFile {
            key = try read(keyFile)
        } else if File.exists(own) {
            key = try read(own)
        } else if File.exists(published) {
            throw Failure(
                description:
                    "\(published) is there, but \(own) is not: put the key back, or move the old public key away"
            )
        } else {
            key = try SigningKey.make()
            try File.create(try key.pem(), at: own, mode: 0o600)
        }
        if !File.exists(published) {
            try File.create(key.publicPEM, at: published, mode: 0o644)
            try Folder.sync(folder)
        } else if try PublicKey(pem: File.read(published)).fingerprint != PublicKey(pem: key.publicPEM).fingerprint {
            throw Failure(
                description:
                    "\(published) belongs to another key than \(keyFile ?? own): earlier reports need it, so move it away"
            )
        }
        return key
    }

    private static func read(_ path: String) throws -> SigningKey {
        do { return try SigningKey(pem: File.read(path)) } catch let error as Errno {
            throw Failure(description: "the key \(path) cannot be read: \(error.message)")
        } catch { throw Failure(description: "the key \(path): \(error)") }
    }
}
