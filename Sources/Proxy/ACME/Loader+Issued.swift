import ACME
import Config
import Platform
import TLS

/// Certificates that authorities issue, and what is needed to ask for them.
extension Loader {
    /// The certificate that lies in the state's folder; nil when what is served is to stay.
    ///
    /// Where nothing is served yet, one stands in its place: a site has to be served for its authority to see who serves it.
    mutating func issued(_ certificate: Certificate, _ settings: ACMESettings, state: String) -> CertificateFile? {
        let folder = CertificateFolder(state: resolved(state))
        let path = folder.path(.certificate, certificate.name)
        note(path)
        if let issued = folder.certificate(certificate.name) {
            let now = Int64(clamping: Clock.unixMicroseconds() / 1_000_000)
            if issued.facts.notAfter < now {
                complain(
                    .warning,
                    at: certificate.position,
                    "certificate \"\(certificate.name)\" expired \((now - issued.facts.notAfter) / 86_400) days ago",
                    fix: "the log says why it was not renewed"
                )
            }
            return issued.file
        }
        let record = folder.read(.record, certificate.name).flatMap { CertificateRecord(json: $0) }
        if takesOver, record?.lastSuccess != nil {
            complain(
                at: certificate.position,
                "certificate \"\(certificate.name)\" is gone or damaged where it is kept, and only the present program has it",
                fix: "bring \(path) back"
            )
            return nil
        }
        // Of a file that is gone or damaged while its certificate is served, the copy in use is the best there is.
        let served = present?.resources[CertificateStore.chainName(certificate.name)]
        let facts = served.flatMap { try? CertificateFacts.read(pem: $0).first }
        if let facts, !facts.isSelfSigned {
            complain(
                .warning,
                at: certificate.position,
                "certificate \"\(certificate.name)\" is gone or damaged where it is kept: the one that is served stays",
                fix: "bring \(path) back, or another one is asked for at the next start"
            )
            return nil
        }
        complain(
            .warning,
            at: certificate.position,
            "certificate \"\(certificate.name)\" has not been issued yet: a self-signed placeholder is shown",
            fix: "the log says when it is"
        )
        let names = settings.names.map(\.value.description)
        if let facts, facts.names == names, facts.keyType.hasPrefix(settings.key == .ecdsa ? "ECDSA" : "RSA") {
            return nil
        }
        return placeholder(certificate, names, settings)
    }

    private mutating func placeholder(
        _ certificate: Certificate,
        _ names: [String],
        _ settings: ACMESettings
    ) -> CertificateFile? {
        do throws(CertificateError) {
            let made = try CertificateMaker.selfSigned(names: names, key: settings.key.kind)
            return CertificateFile(chainPEM: made.certificatePEM, keyPEM: made.keyPEM)
        } catch {
            complain(at: certificate.position, "certificate \"\(certificate.name)\": no placeholder: \(error)")
            return nil
        }
    }

    /// What the issuer is handed.
    mutating func readIssuerFiles(_ configuration: Configuration) {
        for (_, settings) in configuration.issuedCertificates {
            if let path = settings.trust?.ca { readAuthorities(path, as: IssuerFiles.authorities(path.value)) }
            if let path = settings.externalAccount?.keyFile { readAccountKey(path) }
            guard settings.trust == nil, SystemAuthorities.read() == nil else { continue }
            complain(
                at: settings.directory.position,
                "this host has no list of authorities to verify the directory's server by",
                fix: "install ca-certificates, or give acme trust = { ca = \"FILE\" }"
            )
        }
    }

    private mutating func readAccountKey(_ path: Located<String>) {
        do throws(SecretFile.Failure) { try SecretFile.check(resolved(path.value)) } catch {
            complain(at: path.position, "key_file \"\(path.value)\": \(error)")
            return
        }
        guard let bytes = read(path, "key_file") else { return }
        guard AccountSettings.External(identifier: "", encodedKey: bytes) != nil else {
            complain(
                at: path.position,
                "key_file \"\(path.value)\" holds no key in Base64 for URLs",
                fix: "write the key into it as the authority gives it"
            )
            return
        }
        resources[IssuerFiles.accountKey(path.value)] = bytes
    }
}
