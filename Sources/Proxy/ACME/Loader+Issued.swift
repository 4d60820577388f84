import ACME
import Config
import Platform
import TLS

/// Certificates that authorities issue, and what is needed to ask for them.
extension Loader {
    /// The certificate that lies in the state's folder, or one that stands in its place until there is one: a site has to
    /// be served for its authority to see who serves it.
    mutating func issued(_ certificate: Certificate, _ settings: ACMESettings, state: String) -> CertificateFile? {
        let folder = CertificateFolder(state: resolved(state))
        note(folder.path(.certificate, certificate.name))
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
        // Of a file that is gone or damaged while it is served, the copy in use is the best there is.
        if present != nil { return nil }
        complain(
            .warning,
            at: certificate.position,
            "certificate \"\(certificate.name)\" has not been issued yet: a self-signed placeholder is shown",
            fix: "the log says when it is"
        )
        return placeholder(certificate, settings, state: resolved(state))
    }

    /// The same after a reload, as long as the same is asked for.
    private mutating func placeholder(
        _ certificate: Certificate,
        _ settings: ACMESettings,
        state: String
    ) -> CertificateFile? {
        let folder = CertificateFolder(state: state)
        let names = settings.names.map(\.value.description)
        let now = Int64(clamping: Clock.unixMicroseconds() / 1_000_000)
        if let kept = folder.certificate(certificate.name, .placeholder), kept.facts.names == names,
            kept.facts.keyType.hasPrefix(settings.key == .ecdsa ? "ECDSA" : "RSA"), kept.facts.notAfter > now
        {
            return kept.file
        }
        do throws(CertificateError) {
            let made = try CertificateMaker.selfSigned(names: names, key: settings.key.kind)
            let file = CertificateFile(chainPEM: made.certificatePEM, keyPEM: made.keyPEM)
            // Where nothing can be kept, the next one is another one.
            if keepsCertificates {
                try? File.makeFolder(state)
                try? folder.write(.placeholder, certificate.name, file.bytes)
            }
            return file
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
