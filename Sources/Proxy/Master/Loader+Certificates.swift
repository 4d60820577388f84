import ACME
import Config
import Platform
import TLS

/// The certificates that the configuration names, makes or has issued.
extension Loader {
    mutating func readCertificates(_ configuration: Configuration) {
        var facts: [String: CertificateFacts] = [:]
        var read: [(certificate: Certificate, pair: Pair, keyType: String)] = []
        for certificate in configuration.certificates {
            guard let pair = readPair(certificate, configuration) else { continue }
            do throws(CertificateError) {
                let identity = try ServerIdentity(chainPEM: pair.chain, keyPEM: pair.key)
                read.append((certificate, pair, identity.facts.keyType))
                let isIssued = if case .acme = certificate.source { true } else { false }
                // One that is served already is nothing that could be refused.
                let isServed = present?.resources[CertificateStore.chainName(certificate.name)] == pair.chain
                if !isIssued, !(isAgain && isServed) {
                    facts[certificate.name] = identity.facts
                    checkTime(identity.facts, certificate, isServed: isServed)
                }
                resources[CertificateStore.chainName(certificate.name)] = pair.chain
                resources[CertificateStore.keyName(certificate.name)] = pair.key
            } catch {
                complain(
                    at: pair.position(for: error),
                    "certificate \"\(certificate.name)\": \(error)",
                    fix: Self.fix(error)
                )
            }
        }
        if configuration.tls.isolatesKeys {
            for entry in read { checkHolding(entry.certificate, entry.pair, entry.keyType) }
        }
        for site in configuration.sites {
            for binding in site.bindings {
                checkCoverage(binding, facts)
                checkKinds(binding, facts)
            }
        }
    }

    /// Whether the signer can hold a key; asked when all keys are read, since from then on there are keys of two makes.
    private mutating func checkHolding(_ certificate: Certificate, _ pair: Pair, _ keyType: String) {
        do throws(CertificateError) { _ = try ServerIdentity(heldElsewhere: pair.chain) } catch {
            refused.insert(certificate.name)
            complain(
                at: pair.keyPosition,
                "certificate \"\(certificate.name)\" has a key (\(keyType)) that cannot be isolated",
                fix: "use one of ECDSA, RSA or Ed25519, or key_isolation = false"
            )
        }
    }

    /// Certificate and key as PEM, and where the configuration names them.
    private struct Pair {
        let chain: [UInt8]
        let key: [UInt8]
        let chainPosition: Position
        let keyPosition: Position

        func position(for error: CertificateError) -> Position {
            error == .noKey || error == .keyMismatch ? keyPosition : chainPosition
        }
    }

    private mutating func readPair(_ certificate: Certificate, _ configuration: Configuration) -> Pair? {
        switch certificate.source {
        case .files(let chain, let key):
            let chainBytes = read(chain, "chain")
            let keyBytes = read(key, "key")
            guard let chainBytes, let keyBytes else { return nil }
            return Pair(chain: chainBytes, key: keyBytes, chainPosition: chain.position, keyPosition: key.position)
        case .pfx(let path, let passwordFile):
            let password = passwordFile.map { read($0, "password_file") }
            guard let bytes = read(path, "pfx") else { return nil }
            if password != nil, password == .some(nil) { return nil }
            // An editor ends the file with a line end that is not part of the password.
            let secret = (password?.flatMap { $0 } ?? []).filter { $0 != 0x0A && $0 != 0x0D }
            do throws(CertificateError) {
                let parts = try PFX.read(bytes, password: secret)
                return Pair(
                    chain: parts.chainPEM,
                    key: parts.keyPEM,
                    chainPosition: path.position,
                    keyPosition: path.position
                )
            } catch {
                complain(at: path.position, "pfx \"\(path.value)\": \(error)", fix: "check password_file")
                return nil
            }
        case .selfSigned(let names):
            return selfSigned(certificate, names)
        case .acme(let settings):
            guard let state = configuration.server.state?.value,
                let file = issued(certificate, settings, state: state)
            else { return nil }
            let position = certificate.position
            return Pair(chain: file.chainPEM, key: file.keyPEM, chainPosition: position, keyPosition: position)
        }
    }

    /// The certificate that was kept for these names, or a new one.
    private mutating func selfSigned(_ certificate: Certificate, _ names: [String]) -> Pair? {
        let chainPath = resolved("\(certificate.name).self-signed.pem")
        let keyPath = resolved("\(certificate.name).self-signed.key")
        let position = certificate.position
        note(chainPath)
        note(keyPath)
        if let chain = try? File.read(chainPath), let key = try? File.read(keyPath),
            let facts = try? CertificateFacts.read(pem: chain).first,
            Self.isFresh(facts, now: Int64(Clock.unixMicroseconds() / 1_000_000)),
            names.allSatisfy({ facts.covers($0) || facts.names.contains($0) })
        {
            return Pair(chain: chain, key: key, chainPosition: position, keyPosition: position)
        }
        do {
            let made = try CertificateMaker.selfSigned(names: names)
            if keepsCertificates {
                try File.write(made.keyPEM, to: keyPath, mode: 0o600)
                try File.write(made.certificatePEM, to: chainPath, mode: 0o644)
            }
            return Pair(chain: made.certificatePEM, key: made.keyPEM, chainPosition: position, keyPosition: position)
        } catch {
            complain(
                at: position,
                "certificate \"\(certificate.name)\" cannot be made: \(error)",
                fix: "let everyhop write \(chainPath), or make it with `everyhop cert self-signed`"
            )
            return nil
        }
    }

    /// Whether one that was kept may go on: a clock that was wrong once may have made one for another time.
    private static func isFresh(_ facts: CertificateFacts, now: Int64) -> Bool {
        facts.notBefore <= now && facts.notAfter > now + 14 * 86_400
    }

    /// Only one that is to take another's place is refused for its time: whatever was served before a restart, or still is,
    /// clients judge by themselves, and that it is over is told again and again.
    private mutating func checkTime(_ facts: CertificateFacts, _ certificate: Certificate, isServed: Bool) {
        let position: Position
        switch certificate.source {
        case .files(let chain, _): position = chain.position
        case .pfx(let path, _): position = path.position
        case .selfSigned, .acme: position = certificate.position
        }
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        let isRefused = demandsValidity || present != nil && !isServed
        if isRefused, facts.notAfter < now || facts.notBefore > now { refused.insert(certificate.name) }
        if facts.notAfter < now {
            complain(
                isRefused ? .error : .warning,
                at: position,
                "certificate \"\(certificate.name)\" expired \((now - facts.notAfter) / 86_400) days ago",
                fix: "renew it"
            )
        } else if facts.notBefore > now {
            complain(
                isRefused ? .error : .warning,
                at: position,
                "certificate \"\(certificate.name)\" is not valid yet",
                fix: "check the clock, or wait"
            )
        } else if facts.notAfter < now + 14 * 86_400 {
            complain(
                .warning,
                at: position,
                "certificate \"\(certificate.name)\" expires in \((facts.notAfter - now) / 86_400) days",
                fix: "renew it"
            )
        }
    }

    private mutating func checkCoverage(_ binding: Binding, _ facts: [String: CertificateFacts]) {
        guard let host = binding.host else { return }
        for name in binding.certificates {
            guard let certificate = facts[name.value] else { continue }
            let text = host.value.description
            let isCovered =
                host.value.isWildcard
                ? certificate.names.contains { $0.lowercased() == text } : certificate.covers(text)
            if isCovered { continue }
            refused.insert(name.value)
            let names = (certificate.names + certificate.addresses).joined(separator: ", ")
            complain(
                at: host.position,
                "certificate \"\(name.value)\" does not cover host \"\(text)\"",
                fix: "it is for \(names.isEmpty ? "no name" : names); use another certificate or host"
            )
        }
    }

    /// Of two certificates with keys of one kind, TLS would use the last and say nothing.
    private mutating func checkKinds(_ binding: Binding, _ facts: [String: CertificateFacts]) {
        guard binding.certificates.count == 2, let first = facts[binding.certificates[0].value],
            let second = facts[binding.certificates[1].value]
        else { return }
        let kind = second.keyType.prefix { $0 != " " }
        guard first.keyType.prefix(while: { $0 != " " }) == kind else { return }
        refused.formUnion(binding.certificates.map(\.value))
        complain(
            at: binding.certificates[1].position,
            "both certificates of the binding have a key of the kind \(kind)",
            fix: "name one, or an ECDSA and an RSA one"
        )
    }

    private static func fix(_ error: CertificateError) -> String {
        switch error {
        case .keyMismatch: "name the key that the certificate was made with"
        case .noKey: "name a PEM private key without a password"
        case .noCertificate: "name a PEM file, the server's certificate first"
        case .badPFX, .noRevocationList, .invalidName, .library: ""
        }
    }
}
