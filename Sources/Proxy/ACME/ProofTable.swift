import ACME
import Config
import TLS

/// What authorities are shown that ask who is served here: from the issuer to the master, and from there to every worker.
struct ProofTable: Equatable {
    /// One name's proof.
    struct Entry: Equatable {
        var challenge: ACMESettings.Challenge
        var name: String
        /// What is asked for by http-01.
        var token = ""
        /// What that is answered.
        var answer: [UInt8] = []
        /// What is shown by tls-alpn-01, as PEM.
        var certificate: [UInt8] = []
        /// Its key; it is for this one proof.
        var key: [UInt8] = []

    }

    /// Tells tables apart, those of earlier processes, too.
    var version: Int
    var entries: [Entry] = []

    init(version: Int) { self.version = version }

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(version)
        writer.put(entries.count)
        for entry in entries {
            writer.put(entry.challenge.rawValue)
            writer.put(entry.name)
            writer.put(entry.token)
            writer.put(entry.answer)
            writer.put(entry.certificate)
            writer.put(entry.key)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        version = try reader.int()
        for _ in 0..<(try reader.count()) { entries.append(try Entry(&reader)) }
    }
}

extension ProofTable.Entry {
    init(_ proof: Issuance.Proof) throws(CertificateError) {
        challenge = proof.challenge
        name = proof.name
        switch proof.challenge {
        case .http01:
            token = proof.token
            answer = Array(proof.keyAuthorization.utf8)
        case .tlsALPN01:
            let digest = SHA256.digest(Array(proof.keyAuthorization.utf8))
            let made = try CertificateMaker.challenge(name: proof.name, digest: digest)
            certificate = made.certificatePEM
            key = made.keyPEM
        }
    }

    fileprivate init(_ reader: inout WireReader) throws(WireReader.Malformed) {
        guard let challenge = ACMESettings.Challenge(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        self.challenge = challenge
        name = try reader.text()
        token = try reader.text()
        answer = try reader.block()
        certificate = try reader.block()
        key = try reader.block()
    }
}

/// How it is with a certificate of an authority: from the issuer to the master, and from there to the monitor.
struct IssuanceUpdate: Equatable {
    enum Event: Int {
        /// Nothing has happened; this is how it is.
        case state
        /// A new certificate lies in its file.
        case issued
        /// There is no new certificate; the old one goes on.
        case failed
    }

    var event: Event
    /// The certificate's name in the configuration.
    var name: String
    /// Whether there is one; if not, a placeholder is shown.
    var isIssued: Bool
    /// When it came, in seconds since 1970; 0 for never.
    var lastSuccess: Int
    /// When it will be asked for again, in seconds since 1970.
    var next: Int
    /// How often asking has failed, ever.
    var failures: Int
    /// Why, the last time; empty after a success.
    var reason: String

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(event.rawValue)
        writer.put(name)
        writer.put(isIssued ? 1 : 0)
        writer.put(lastSuccess)
        writer.put(next)
        writer.put(failures)
        writer.put(reason)
        return writer.bytes
    }

    init(_ event: Event, _ name: String, isIssued: Bool, next: Int64, _ record: CertificateRecord) {
        self.event = event
        self.name = name
        self.isIssued = isIssued
        lastSuccess = Int(record.lastSuccess ?? 0)
        self.next = Int(next)
        failures = record.failures
        reason = record.lastFailure ?? ""
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        guard let event = Event(rawValue: try reader.int()) else { throw WireReader.Malformed() }
        self.event = event
        name = try reader.text()
        isIssued = try reader.int() == 1
        lastSuccess = try reader.int()
        next = try reader.int()
        failures = try reader.int()
        reason = try reader.text()
    }
}

/// Something that the issuer has the master keep.
struct KeptPart: Equatable {
    var part: CertificateFolder.Part
    var name: String
    var bytes: [UInt8]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(part.rawValue)
        writer.put(name)
        writer.put(bytes)
        return writer.bytes
    }

    init(_ part: CertificateFolder.Part, _ name: String, _ bytes: [UInt8]) {
        self.part = part
        self.name = name
        self.bytes = bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        guard let part = CertificateFolder.Part(rawValue: try reader.int()) else { throw WireReader.Malformed() }
        self.part = part
        name = try reader.text()
        self.bytes = try reader.block()
    }
}
