/// What the loader found: the configuration with its files, or what is wrong with it.
struct LoadReport {
    /// What the operator reads, warnings included; empty when all is well.
    var findings: String
    /// nil when the configuration cannot be used.
    var bundle: Bundle?

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(findings)
        writer.put(bundle == nil ? 0 : 1)
        if let bundle { writer.put(bundle.encoded()) }
        return writer.bytes
    }

    init(findings: String, bundle: Bundle?) {
        self.findings = findings
        self.bundle = bundle
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        findings = try reader.text()
        bundle = try reader.int() == 1 ? Bundle(decoding: try reader.block()) : nil
    }
}
