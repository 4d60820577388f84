internal import Platform
internal import TLS

/// Whether reports are what was signed, and whether none of a chain is changed or missing.
public struct ReportVerification {
    /// What is wrong with one file.
    public struct Fault: Equatable, Sendable, CustomStringConvertible {
        /// The file's name.
        public let file: String
        /// What is wrong.
        public let reason: String

        /// Both in one line.
        public var description: String { "\(file): \(reason)" }
    }

    /// A report that was looked at.
    public struct Link: Equatable, Sendable {
        /// The file's name.
        public let file: String
        /// SHA-256 of its bytes in hexadecimal digits; nil when it could not be read.
        public let sha256: String?
        /// What the audit came to; nil when it could not be read.
        public let verdict: Verdict?
    }

    /// Why nothing can be said.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is missing.
        public let description: String
    }

    /// The reports, the oldest first.
    public private(set) var links: [Link] = []
    /// What is wrong, the oldest report first.
    public private(set) var faults: [Fault] = []
    private let folder: String
    private let keys: [PublicKey]

    /// Checks a report and those before it, or all reports of a folder.
    ///
    /// - Parameter publicKeyFiles: whose signatures count, any of them; none for the key in the folder.
    /// - Throws: when there is no report or no key.
    public init(path: String, publicKeyFiles: [String]) throws(Failure) {
        let isFolder = Folder.exists(path)
        guard isFolder || File.exists(path) else { throw Failure(description: "\(path): there is no such file") }
        let slash = path.lastIndex(of: "/")
        folder = isFolder ? path : slash.map { String(path[...$0]) } ?? "."
        keys = try Self.read(publicKeyFiles.isEmpty ? ["\(folder)/\(ReportStore.publicKeyName)"] : publicKeyFiles)
        if isFolder {
            try checkFolder()
        } else {
            checkFile(slash.map { String(path[path.index(after: $0)...]) } ?? path)
        }
    }

    private static func read(_ files: [String]) throws(Failure) -> [PublicKey] {
        try files.map { file throws(Failure) in
            do { return try PublicKey(pem: File.read(file)) } catch let error as Errno {
                throw Failure(description: "the public key \(file) cannot be read: \(error.message)")
            } catch { throw Failure(description: "the public key \(file): \(error)") }
        }
    }

    // MARK: one file, then back

    private mutating func checkFile(_ file: String) {
        var next: String? = file
        var page: [UInt8]?
        if file.hasSuffix(".html") {
            page = signed(file)
            next = file.dropLast(5) + ".json"
        }
        var expected: String?
        var after: String?
        while let file = next {
            guard let seen = look(file) else { break }
            if let shown = page { checkPage(shown, of: file, seen.sha256) }
            page = nil
            if let expected, let after, seen.sha256 != expected { changed(file, seen.sha256, after, expected) }
            guard let previous = seen.report?.previous else { break }
            guard let name = ReportName(previous.file), ReportName(file).map({ name < $0 }) ?? true else {
                fault(file, "names \"\(previous.file)\" as the report before it, which cannot be")
                break
            }
            guard File.exists("\(folder)/\(name)") else {
                fault(file, "the report before it, \(name), is missing")
                break
            }
            (expected, after, next) = (previous.sha256, file, previous.file)
        }
        links.reverse()
        faults.reverse()
    }

    // MARK: a whole folder

    private mutating func checkFolder() throws(Failure) {
        let files: [String]
        do { files = try Folder.names(in: folder) } catch { throw Failure(description: "\(folder): \(error.message)") }
        let names = ReportName.all(of: files)
        guard !names.isEmpty else { throw Failure(description: "\(folder): there is no report in it") }
        var before: (name: ReportName, sha256: String?)?
        for name in names {
            let seen = look(name.description)
            if let seen, let report = seen.report { checkLink(name, report, before, Set(names)) }
            if files.contains(name.html), let page = signed(name.html), let seen {
                checkPage(page, of: name.description, seen.sha256)
            }
            before = (name, seen?.sha256)
        }
        for file in files where file.hasSuffix(".html") {
            guard let name = ReportName(file.dropLast(5) + ".json"), !names.contains(name) else { continue }
            fault(file, "the report it shows, \(name), is missing")
        }
    }

    private mutating func checkLink(
        _ name: ReportName,
        _ report: AuditReport,
        _ before: (name: ReportName, sha256: String?)?,
        _ names: Set<ReportName>
    ) {
        let file = name.description
        guard let previous = report.previous else {
            if let before { fault(file, "says that it is the first, but \(before.name) is older") }
            return
        }
        guard let named = ReportName(previous.file), named < name else {
            return fault(file, "names \"\(previous.file)\" as the report before it, which cannot be")
        }
        guard names.contains(named) else { return fault(file, "the report before it, \(named), is missing") }
        guard let before, before.name == named else {
            let other = before.map { "\($0.name)" } ?? "none"
            return fault(file, "names \(named) as the report before it, but that is \(other)")
        }
        if let sha256 = before.sha256, sha256 != previous.sha256 { changed("\(named)", sha256, file, previous.sha256) }
    }

    // MARK: both

    /// A page and its signature may both have been taken from another report: it says whose it is.
    private mutating func checkPage(_ page: [UInt8], of file: String, _ sha256: String) {
        let text = String(decoding: page, as: UTF8.self)
        guard text.contains("everyhop audit verify \(file)\n"), text.contains("<code>\(sha256)</code>") else {
            return fault(file.dropLast(5) + ".html", "shows another report than \(file)")
        }
    }

    private mutating func look(_ file: String) -> (sha256: String, report: AuditReport?)? {
        guard let bytes = signed(file) else {
            links.append(Link(file: file, sha256: nil, verdict: nil))
            return nil
        }
        let sha256 = SHA256.hexadecimal(bytes)
        do {
            let report = try AuditReport(json: bytes)
            links.append(Link(file: file, sha256: sha256, verdict: report.verdict))
            // A signature says nothing of a file's name.
            let last = report.previous.flatMap { ReportName($0.file) }
            if let name = ReportName(file), last.map({ $0 < name }) ?? true,
                !name.suits(begun: report.begun, after: last)
            {
                fault(file, "has another report's name: its audit began at \(report.begun)")
            }
            return (sha256, report)
        } catch {
            links.append(Link(file: file, sha256: sha256, verdict: nil))
            fault(file, error.description)
            return (sha256, nil)
        }
    }

    /// The bytes of a file, whether or not its signature is good; nil when it cannot be read.
    private mutating func signed(_ file: String) -> [UInt8]? {
        let bytes: [UInt8]
        do { bytes = try File.read("\(folder)/\(file)") } catch {
            fault(file, "cannot be read: \(error.message)")
            return nil
        }
        do {
            let signature = try File.read("\(folder)/\(file).sig", limit: 65_536)
            if !keys.contains(where: { $0.verifies(signature, of: bytes) }) {
                let whose = keys.map { "\($0.fingerprint)" }.joined(separator: " or ")
                fault(
                    file,
                    "the signature does not belong to it: it was changed, or signed by another key than \(whose)"
                )
            }
        } catch {
            fault(file, "its signature, \(file).sig, cannot be read: \(error.message)")
        }
        return bytes
    }

    private mutating func changed(_ file: String, _ sha256: String, _ after: String, _ expected: String) {
        fault(file, "was changed: its SHA-256 is \(sha256), but \(after) says \(expected)")
    }

    private mutating func fault(_ file: String, _ reason: String) { faults.append(Fault(file: file, reason: reason)) }
}
