import Platform

/// What the loader found: the configuration with its files, or what is wrong with it.
struct LoadReport {
    /// What the operator reads, warnings included; empty when all is well.
    var findings: String
    /// nil when the configuration cannot be used.
    var bundle: Bundle?
    /// What the files that were read looked like right before, by path.
    var seen: [String: FileSignature]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(findings)
        writer.put(bundle == nil ? 0 : 1)
        if let bundle { writer.put(bundle.encoded()) }
        writer.put(seen.count)
        for (path, signature) in seen {
            writer.put(path)
            writer.put(signature.text)
        }
        return writer.bytes
    }

    init(findings: String, bundle: Bundle?, seen: [String: FileSignature] = [:]) {
        self.findings = findings
        self.bundle = bundle
        self.seen = seen
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        findings = try reader.text()
        bundle = try reader.int() == 1 ? Bundle(decoding: try reader.block()) : nil
        seen = [:]
        for _ in 0..<(try reader.count()) {
            let path = try reader.text()
            seen[path] = FileSignature(text: try reader.text())
        }
    }
}
