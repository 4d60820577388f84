import Evidence
import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Kept reports") struct ReportStoreTests {
    let base: TemporaryFolder
    let folder: String

    init() throws {
        base = try TemporaryFolder()
        folder = "\(base.path)/reports"
    }

    private func store(_ key: String? = nil) throws -> ReportStore { try ReportStore(folder: folder, keyFile: key) }

    @discardableResult
    private func keep(_ seconds: Int, html: Bool = false) throws -> ReportStore.Written {
        let digits = seconds < 10 ? "0\(seconds)" : "\(seconds)"
        return try store().write(ReportSamples.full(begun: "2026-11-25T10:15:\(digits)Z"), html: html)
    }

    private func faults(_ name: String? = nil, keys: [String] = []) throws -> [String] {
        let path = name.map { "\(folder)/\($0)" } ?? folder
        return try ReportVerification(path: path, publicKeyFiles: keys).faults.map { "\($0)" }
    }

    private func mode(_ name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
        return try #require((attributes[.posixPermissions] as? NSNumber)?.intValue)
    }

    private func change(_ name: String) throws {
        let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
        let changed = text.replacingOccurrences(of: "falls-short", with: "holds")
        #expect(changed != text)
        try changed.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }

    private func names() throws -> [String] { try Folder.names(in: folder) }

    // MARK: writing

    @Test func `OpenSSL alone verifies what is written`() throws {
        let written = try keep(0, html: true)
        #expect(
            try names() == [
                "audit-20261125T101500Z.html", "audit-20261125T101500Z.html.sig", "audit-20261125T101500Z.json",
                "audit-20261125T101500Z.json.sig", "audit.key", "audit.pub",
            ]
        )
        #expect(try mode("audit.key") == 0o600 && mode("audit.pub") == 0o644)
        for file in [written.json, try #require(written.html)] {
            #expect(try File.read("\(file).sig").count == 64)
            let command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "\(folder)/audit.pub"]
            let result = try Shell.run(command + ["-in", file, "-sigfile", "\(file).sig"], merged: true)
            #expect(result.status == 0 && result.text.contains("Signature Verified Successfully"), "\(result.text)")
            try File.write(try File.read(file) + [0x20], to: file, mode: 0o600)
            #expect(try Shell.run(command + ["-in", file, "-sigfile", "\(file).sig"], merged: true).status != 0)
        }
        let page = String(decoding: try File.read(try #require(written.html)), as: UTF8.self)
        #expect(page.contains(written.seal.sha256) && page.contains("\(written.seal.fingerprint)"))
        let command =
            "openssl pkeyutl -verify -rawin -pubin -inkey audit.pub \\\n"
            + "    -in audit-20261125T101500Z.json -sigfile audit-20261125T101500Z.json.sig\n"
        #expect(page.contains(command))
    }

    @Test func `each report names the one before it`() throws {
        #expect(try store().previous() == nil)
        let first = try keep(0)
        #expect(first.report.previous == nil)
        let second = try keep(1)
        #expect(second.report.previous == .init(file: "audit-20261125T101500Z.json", sha256: first.seal.sha256))
        #expect(try AuditReport(json: File.read(second.json)) == second.report)
        let digest = try Shell.run(["sha256sum", first.json]).text.prefix(64)
        #expect(first.seal.sha256 == digest)
        #expect(try store().previous()?.sha256 == second.seal.sha256)
        #expect(try faults().isEmpty && faults("audit-20261125T101501Z.json").isEmpty)
    }

    @Test func `reports of one second, and of a clock set back, stay in order`() throws {
        for seconds in [5, 5, 3] { try keep(seconds) }
        for _ in 0..<8 { try keep(5) }
        #expect(try names().contains("audit-20261125T101505Z-11.json"))
        let result = try ReportVerification(path: folder, publicKeyFiles: [])
        #expect(result.faults.isEmpty && result.links.count == 11)
        #expect(result.links.last?.file == "audit-20261125T101505Z-11.json")
    }

    @Test func `the key is made once and never overwritten`() throws {
        try keep(0)
        let key = try File.read("\(folder)/audit.key")
        try keep(1)
        #expect(try File.read("\(folder)/audit.key") == key)
        try FileManager.default.removeItem(atPath: "\(folder)/audit.key")
        let failure = #expect(throws: ReportStore.Failure.self) { try store() }
        #expect(failure?.description.contains("put the key back") == true)
        try File.write(try SigningKey.make().pem(), to: "\(folder)/audit.key", mode: 0o600)
        #expect(throws: ReportStore.Failure.self) { try store() }
        try FileManager.default.removeItem(atPath: "\(folder)/audit.key")
        try File.write(key, to: "\(folder)/audit.key", mode: 0o600)
        try FileManager.default.removeItem(atPath: "\(folder)/audit.pub")
        try keep(2)
        #expect(try faults().isEmpty)
    }

    @Test func `a key of one's own signs`() throws {
        let made = try CertificateMaker.selfSigned(names: ["x"], key: .ecdsa)
        let key = try base.write("site.key", made.keyPEM)
        let written = try store(key).write(ReportSamples.full(), html: true)
        #expect(try !names().contains("audit.key"))
        #expect(written.seal.kind == .ecdsa)
        #expect(try faults().isEmpty)
        #expect(throws: ReportStore.Failure.self) { try store() }
        #expect(throws: ReportStore.Failure.self) { try store("\(base.path)/none") }
        #expect(throws: ReportStore.Failure.self) { try store(try base.write("no.key", "nonsense")) }
    }

    @Test func `audits at once do not fork the chain`() throws {
        _ = try store()
        let failures = Shared<[String]>([])
        let threads = (0..<6).map { index in
            Thread {
                do {
                    for _ in 0..<4 { try keep(index) }
                } catch { failures.with { $0.append("\(error)") } }
                failures.with { $0.append("done") }
            }
        }
        for thread in threads { thread.start() }
        try waitUntil("all audits") { failures.value.count { $0 == "done" } == 6 }
        #expect(failures.value.allSatisfy { $0 == "done" })
        let result = try ReportVerification(path: folder, publicKeyFiles: [])
        #expect(result.faults.isEmpty && result.links.count == 24)
    }

    // MARK: verification

    private static let zero = "audit-20261125T101500Z.json"
    private static let one = "audit-20261125T101501Z.json"
    private static let two = "audit-20261125T101502Z.json"

    private func three() throws { for second in 0..<3 { try keep(second) } }

    @Test func `a changed report is named, from the folder and from the last`() throws {
        try three()
        try change(Self.one)
        for start in [nil, Self.two] {
            let faults = try faults(start)
            #expect(faults.count == 2)
            #expect(faults.allSatisfy { $0.hasPrefix("\(Self.one): ") })
            #expect(faults.contains { $0.contains("the signature does not belong to it") })
            #expect(
                faults.contains { $0.contains("was changed: its SHA-256 is ") && $0.contains("but \(Self.two) says") }
            )
        }
        #expect(try faults(Self.zero).isEmpty)
    }

    @Test func `one that was changed and signed again breaks the chain`() throws {
        try three()
        try change(Self.one)
        let key = try SigningKey(pem: File.read("\(folder)/audit.key"))
        let path = "\(folder)/\(Self.one)"
        try File.write(try key.sign(File.read(path)), to: "\(path).sig", mode: 0o640)
        #expect(try faults().count == 1)
        #expect(try faults().first?.contains("was changed") == true)
    }

    @Test func `one that was removed is named`() throws {
        try three()
        try FileManager.default.removeItem(atPath: "\(folder)/\(Self.one)")
        #expect(try faults() == ["\(Self.two): the report before it, \(Self.one), is missing"])
        #expect(try faults(Self.two) == ["\(Self.two): the report before it, \(Self.one), is missing"])
        try FileManager.default.removeItem(atPath: "\(folder)/\(Self.zero)")
        #expect(try faults() == ["\(Self.two): the report before it, \(Self.one), is missing"])
    }

    @Test func `signatures that are missing, of others, or swapped are faults`() throws {
        try three()
        let other = try base.write("other.pub", try SigningKey.make().publicPEM)
        #expect(try faults(keys: [other]).count == 3)
        #expect(try faults(keys: [other, "\(folder)/audit.pub"]).isEmpty)
        let signature = try File.read("\(folder)/\(Self.zero).sig")
        try File.write(signature, to: "\(folder)/\(Self.one).sig", mode: 0o640)
        try FileManager.default.removeItem(atPath: "\(folder)/\(Self.two).sig")
        let faults = try faults()
        #expect(faults.count == 2)
        #expect(faults[0].hasPrefix("\(Self.one): the signature does not belong to it"))
        #expect(faults[1].hasPrefix("\(Self.two): its signature, \(Self.two).sig, cannot be read"))
    }

    @Test func `a second first report is a fault`() throws {
        try three()
        let key = try SigningKey(pem: File.read("\(folder)/audit.key"))
        let bytes = try ReportSamples.full(begun: "2026-11-25T10:15:01Z").json()
        let path = "\(folder)/\(Self.one)"
        try File.write(bytes, to: path, mode: 0o640)
        try File.write(try key.sign(bytes), to: "\(path).sig", mode: 0o640)
        #expect(try faults().first == "\(Self.one): says that it is the first, but \(Self.zero) is older")
    }

    @Test func `pages are checked, too`() throws {
        try keep(0, html: true)
        try keep(1, html: true)
        #expect(try faults().isEmpty && faults("audit-20261125T101501Z.html").isEmpty)
        let page = "\(folder)/audit-20261125T101501Z.html"
        try File.write(try File.read(page) + [0x20], to: page, mode: 0o640)
        for start in [nil, "audit-20261125T101501Z.html"] {
            #expect(try faults(start).first?.hasPrefix("audit-20261125T101501Z.html: the signature does not") == true)
        }
        try FileManager.default.removeItem(atPath: "\(folder)/\(Self.one)")
        #expect(try faults().last == "audit-20261125T101501Z.html: the report it shows, \(Self.one), is missing")
    }

    @Test func `a report under another name, and the page of another one, are faults`() throws {
        for second in 0..<3 { try keep(second, html: true) }
        #expect(try faults().isEmpty)
        for ending in ["html", "html.sig"] {
            let bytes = try File.read("\(folder)/audit-20261125T101501Z.\(ending)")
            try File.write(bytes, to: "\(folder)/audit-20261125T101502Z.\(ending)", mode: 0o640)
        }
        for start in [nil, "audit-20261125T101502Z.html"] {
            #expect(try faults(start) == ["audit-20261125T101502Z.html: shows another report than \(Self.two)"])
        }
        for name in ["audit-20261201T000000Z.json", "audit-20261125T101502Z-2.json"] {
            for ending in ["", ".sig"] {
                let bytes = try File.read("\(folder)/\(Self.one)\(ending)")
                try File.write(bytes, to: "\(folder)/\(name)\(ending)", mode: 0o640)
            }
            let reason = "has another report's name: its audit began at 2026-11-25T10:15:01Z"
            #expect(try faults(name) == ["\(name): \(reason)"])
        }
    }

    @Test func `without reports or keys nothing can be said`() throws {
        for (path, keys) in [(base.path, [String]()), ("\(base.path)/none", []), (folder, ["\(base.path)/none"])] {
            #expect(throws: ReportVerification.Failure.self) {
                try ReportVerification(path: path, publicKeyFiles: keys)
            }
        }
        _ = try store()
        #expect(throws: ReportVerification.Failure.self) { try ReportVerification(path: folder, publicKeyFiles: []) }
    }

    @Test func `a report that names a path elsewhere is not followed`() throws {

        try keep(0)
        let key = try SigningKey(pem: File.read("\(folder)/audit.key"))
        let text = String(decoding: try keep(1).report.json(), as: UTF8.self)
        for name in ["../reports/\(Self.zero)", "/etc/passwd", Self.one, Self.two] {
            let bytes = Array(text.replacingOccurrences(of: Self.zero, with: name).utf8)
            let path = "\(folder)/\(Self.one)"
            try File.write(bytes, to: path, mode: 0o640)
            try File.write(try key.sign(bytes), to: "\(path).sig", mode: 0o640)
            for start in [nil, Self.one] {
                #expect(
                    try faults(start) == ["\(Self.one): names \"\(name)\" as the report before it, which cannot be"]
                )
            }
        }
    }

    // MARK: schema

    @Test func `what is written agrees with the JSON Schema`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").path
        try keep(0)
        let report = ReportSamples.full(begun: "2026-11-25T10:15:01Z", isMended: true)
            .compared(
                with: ReportSamples.full(),
                file: .init(file: Self.zero, sha256: String(repeating: "0", count: 64))
            )
        _ = try store().write(report, html: false)
        let script = """
            import json, sys, jsonschema
            schema = json.load(open(sys.argv[1]))
            jsonschema.Draft202012Validator.check_schema(schema)
            for name in sys.argv[2:]:
                jsonschema.Draft202012Validator(schema).validate(json.load(open(name)))
            """
        let check = ["python3", "-c", script, "\(root)/docs/audit.schema.json"]
        let files = [Self.zero, Self.one].map { "\(folder)/\($0)" }
        let result = try Shell.run(check + files, merged: true)
        #expect(result.status == 0, "\(result.text)")
        for (old, new) in [("\"holds\"", "\"fine\""), ("\"schema\"", "\"form\""), ("\"provider\"", "\"answers\"")] {
            let text = try String(contentsOfFile: files[1], encoding: .utf8).replacingOccurrences(of: old, with: new)
            #expect(try Shell.run(check + [try base.write("bad.json", text)], merged: true).status != 0)
        }
        // That it names every word there is.
        let schema = try String(contentsOfFile: "\(root)/docs/audit.schema.json", encoding: .utf8)
        let words =
            Check.allCases.map(\.rawValue) + HopReport.Kind.allCases.map(\.rawValue) + Verdict.allCases.map(\.rawValue)
            + Change.Kind.allCases.map(\.rawValue) + ProviderQuestion.allCases.map(\.rawValue)
        for word in words { #expect(schema.contains("\"\(word)\""), "\(word)") }
        let manual = try String(contentsOfFile: "\(root)/docs/audit.md", encoding: .utf8)
        for requirement in Requirement.allCases { #expect(manual.contains(requirement.rawValue)) }
        for check in Check.allCases { #expect(manual.contains("`\(check.rawValue)`"), "\(check.rawValue)") }
    }
}
