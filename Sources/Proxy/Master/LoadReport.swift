import Platform

/// What the loader found: the configuration with its files, or what is wrong with it.
struct LoadReport {
    /// What the operator reads, warnings included; empty when all is well.
    var findings: String
    /// What is wrong with files that are replaced all the same; when only those are read.
    var warnings: String
    /// When a list becomes valid that was refused for coming too early, in seconds since 1970.
    var refusedUntil: Int64?
    /// nil when the configuration cannot be used.
    var bundle: Bundle?
    /// What the files that were read looked like right before, by path.
    var seen: [String: FileSignature]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(findings)
        writer.put(warnings)
        writer.put(Int(refusedUntil ?? 0))
        writer.put(bundle == nil ? 0 : 1)
        if let bundle { writer.put(bundle.encoded()) }
        writer.put(seen.count)
        for (path, signature) in seen {
            writer.put(path)
            writer.put(signature.text)
        }
        return writer.bytes
    }

    init(
        findings: String,
        warnings: String = "",
        refusedUntil: Int64? = nil,
        bundle: Bundle?,
        seen: [String: FileSignature] = [:]
    ) {
        self.refusedUntil = refusedUntil
        self.findings = findings
        self.warnings = warnings
        self.bundle = bundle
        self.seen = seen
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        findings = try reader.text()
        warnings = try reader.text()
        let until = try reader.int()
        refusedUntil = until > 0 ? Int64(until) : nil
        bundle = try reader.int() == 1 ? Bundle(decoding: try reader.block()) : nil
        seen = [:]
        for _ in 0..<(try reader.count()) {
            let path = try reader.text()
            seen[path] = FileSignature(text: try reader.text())
        }
    }
}
