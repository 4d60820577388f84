import TLS

/// What authorities say of a certificate now, and how asking goes; by fingerprint, so that it holds beyond a reload.
struct StapleUpdate: Equatable {
    /// SHA-256 of the certificate, in hexadecimal.
    var fingerprint: String
    /// The name in the configuration.
    var certificate: String
    /// Whether the certificate says that servers staple.
    var mustStaple: Bool
    /// What is stapled; nil for nothing.
    var staple: Staple?
    /// Why there is no newer answer; empty when asking went well.
    var failure = ""
    /// How often asking has failed since this process of asking began.
    var failures = 0

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(fingerprint)
        writer.put(certificate)
        writer.put(mustStaple ? 1 : 0)
        writer.put(failure)
        writer.put(failures)
        writer.put(staple == nil ? 0 : 1)
        if let staple {
            writer.put(staple.response)
            writer.put(staple.status.rawValue)
            writer.put(Int(staple.thisUpdate))
            writer.put(Int(staple.nextUpdate))
        }
        return writer.bytes
    }

    init(fingerprint: String, certificate: String, mustStaple: Bool) {
        self.fingerprint = fingerprint
        self.certificate = certificate
        self.mustStaple = mustStaple
    }

    /// A time that can be reckoned with.
    private static func seconds(_ reader: inout WireReader) throws(WireReader.Malformed) -> Int64 {
        min(max(Int64(try reader.int()), 0), 1 << 40)
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        fingerprint = try reader.text()
        certificate = try reader.text()
        mustStaple = try reader.int() == 1
        failure = try reader.text()
        failures = try reader.int()
        guard try reader.int() == 1 else { return }
        let response = try reader.block()
        guard let status = RevocationStatus(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        staple = Staple(
            response: response,
            status: status,
            thisUpdate: try Self.seconds(&reader),
            nextUpdate: try Self.seconds(&reader)
        )
        guard response.count <= StapleSubject.responseLimit else { throw WireReader.Malformed() }
    }
}
