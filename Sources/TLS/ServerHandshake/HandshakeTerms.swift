import COpenSSL

/// What a plain hello and a binding agree on (RFC 8446 §4.1.1).
struct HandshakeTerms {
    let hello: ClientHello
    let choice: ServerNameTable.Choice
    let isModern: Bool
    /// In TLS 1.2, a session that goes on brings its own.
    var suite: CipherSuite
    let identity: ShownIdentity
    let signer: PreparedSigner
    /// The application protocol; nil for none.
    let alpn: [UInt8]?
    /// The OCSP response that is shown.
    let staple: [UInt8]?

    /// The longest chain, with what is stapled, that one record holds beside the rest.
    private static let mostShown = 14_000

    /// - Returns: nil where the library decides: what is not plain, or agrees on nothing.
    init?(_ hello: ClientHello, _ table: ServerNameTable) {
        let name = hello.serverName.map { String(decoding: hello.message[$0], as: UTF8.self) }
        guard !table.isChallenge(name), let context = table.context(for: name), context.clients == nil,
            hello.has(ClientHello.x25519, in: hello.groups),
            !TLSPolicy.newerGroups.contains(where: { hello.has($0, in: hello.groups) })
        else { return nil }
        let isModern = hello.isModern
        if isModern {
            guard hello.key != nil else { return nil }
        } else {
            guard hello.versions == nil || hello.has(ClientHello.version, in: hello.versions),
                context.policy != .modern,
                hello.hasExtendedMasterSecret, hello.renegotiatesSafely
            else { return nil }
        }
        guard let agreed = Self.agree(hello, context, isModern: isModern) else { return nil }
        (suite, identity, signer) = agreed
        guard let alpn = Self.alpn(hello, context) else { return nil }
        self.alpn = alpn.isEmpty ? nil : alpn
        staple = hello.asksForStaple ? context.staple(of: identity.fingerprint) : nil
        let shown = identity.certificates.reduce(staple?.count ?? 0) { $0 + $1.count }
        guard shown <= Self.mostShown else { return nil }
        self.hello = hello
        self.isModern = isModern
        choice = ServerNameTable.Choice(context: context, name: name)
    }

    private static func agree(
        _ hello: ClientHello,
        _ context: ServerContext,
        isModern: Bool
    ) -> (CipherSuite, ShownIdentity, PreparedSigner)? {
        let suites = isModern ? context.policy.modernSuites : CipherSuite.older
        for suite in suites where hello.has(suite.number, in: hello.suites) {
            for identity in context.shown where isUsable(identity, suite, hello) {
                if let signer = identity.signer(for: hello, isModern: isModern) { return (suite, identity, signer) }
                // In TLS 1.2 this key signs longer digests, too.
                if !isModern, identity.kind == .ecdsa,
                    [SignatureScheme.ecdsaSHA384, .ecdsaSHA512].contains(where: {
                        hello.has($0.rawValue, in: hello.signatureSchemes)
                    })
                {
                    return nil
                }
            }
        }
        return nil
    }

    /// In TLS 1.2 suites say what kind of key proves the server, and groups which curves its key may be on (RFC 8422 §5.3).
    private static func isUsable(_ identity: ShownIdentity, _ suite: CipherSuite, _ hello: ClientHello) -> Bool {
        guard let proof = suite.proof else { return true }
        return proof == identity.kind && (proof == .rsa || hello.has(ClientHello.p256, in: hello.groups))
    }

    /// RFC 7301 §3.2: our most preferred protocol that is offered; empty without negotiation, nil when none is shared.
    private static func alpn(_ hello: ClientHello, _ context: ServerContext) -> [UInt8]? {
        if context.alpn.isEmpty || hello.protocols == nil { return [] }
        return context.alpn.first { hello.offers($0) }
    }

    /// What the log says of it.
    func facts(resumed: Bool) -> TLSFacts {
        TLSFacts(
            version: isModern ? "TLSv1.3" : "TLSv1.2",
            cipher: suite.name,
            group: "x25519",
            resumed: resumed,
            serverName: choice.name,
            alpn: alpn.map { String(decoding: $0, as: UTF8.self) },
            bindingTag: choice.context.tag
        )
    }
}
