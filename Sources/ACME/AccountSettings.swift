internal import TLS

/// Who asks an authority.
public struct AccountSettings: Sendable {
    /// An account that exists elsewhere.
    public struct External: Sendable {
        let identifier: String
        let key: [UInt8]

        /// Takes the key as the authority gives it, in Base64 for URLs; nil when it is none.
        public init?(identifier: String, encodedKey: [UInt8]) {
            let text = encodedKey.filter { $0 > 0x20 && $0 != 0x3D }
            guard let key = Base64URL.decode(String(decoding: text, as: UTF8.self)), key.count >= 16 else { return nil }
            self.identifier = identifier
            self.key = key
        }
    }

    let email: String?
    let external: External?

    /// An account; the terms of the authority have been agreed to.
    public init(email: String?, external: External?) {
        self.email = email
        self.external = external
    }
}
