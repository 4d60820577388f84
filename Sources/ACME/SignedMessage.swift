internal import FoundationEssentials
internal import TLS

/// A JSON Web Signature in flattened form (RFC 7515 §7.2.2).
struct SignedMessage: Encodable {
    let protected: String
    let payload: String
    let signature: String

    /// A public key on P-256 (RFC 7518 §6.2).
    struct PublicKey: Encodable {
        let crv = "P-256"
        let kty = "EC"
        let x: String
        let y: String

        init(_ key: AccountKey) {
            x = Base64URL.encode(key.point.x)
            y = Base64URL.encode(key.point.y)
        }

        private enum CodingKeys: CodingKey { case crv, kty, x, y }

        /// What the key is called in key authorizations (RFC 7638 §3): its members in the order of their names.
        var thumbprint: String {
            Base64URL.encode(
                SHA256.digest(Array("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"\(x)\",\"y\":\"\(y)\"}".utf8))
            )
        }
    }

    /// Whose signature it is: the key itself until the account is known, then the account.
    enum Signer {
        case key
        case account(String)
    }

    private struct Header: Encodable {
        let alg: String
        var jwk: PublicKey?
        var kid: String?
        var nonce: String?
        let url: String
    }

    /// A message of an account (RFC 8555 §6.2).
    ///
    /// - Parameter payload: empty to read something (POST-as-GET).
    init(_ payload: [UInt8], to url: String, nonce: String, by key: AccountKey, as signer: Signer)
        throws(CertificateError)
    {
        var header = Header(alg: "ES256", nonce: nonce, url: url)
        switch signer {
        case .key: header.jwk = PublicKey(key)
        case .account(let name): header.kid = name
        }
        protected = Base64URL.encode(Message.write(header))
        self.payload = Base64URL.encode(payload)
        signature = Base64URL.encode(try key.sign(Array("\(protected).\(self.payload)".utf8)))
    }

    /// What ties a new account to one that exists elsewhere (RFC 8555 §7.3.4); nil when the library refuses.
    init?(binding key: AccountKey, to account: AccountSettings.External, url: String) {
        protected = Base64URL.encode(Message.write(Header(alg: "HS256", kid: account.identifier, url: url)))
        payload = Base64URL.encode(Message.write(PublicKey(key)))
        guard let code = MessageCode.sha256(key: account.key, Array("\(protected).\(payload)".utf8)) else { return nil }
        signature = Base64URL.encode(code)
    }

    func encoded() -> [UInt8] { Message.write(self) }
}
