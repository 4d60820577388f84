import COpenSSL

/// What a handshake agreed on, for the log and for evidence.
public final class TLSFacts: Sendable {
    /// `TLSv1.3` or `TLSv1.2`.
    public let version: String
    /// Such as `TLS_AES_128_GCM_SHA256`.
    public let cipher: String
    /// The group of the key exchange, such as `x25519` or `secp256r1`; empty when the library does not tell.
    public let group: String
    /// Whether an earlier session was resumed.
    public let resumed: Bool
    /// The name that the client sent; on the accepting side, the one that chose the binding.
    public let serverName: String?
    /// The application protocol, if one was negotiated.
    public let alpn: String?
    /// The binding that was chosen; only on the accepting side.
    public let bindingTag: Int?
    /// Whether the server's key was checked against pins.
    public let pinMatched: Bool
    /// The pin of the server's key; only when it was checked.
    public let peerPin: PublicKeyPin?
    /// What the client has proved to be; only on the accepting side, where it was asked and has shown a certificate.
    public let clientCertificate: CertificateFacts?

    /// Of a handshake of our own, as the server.
    init(
        version: String,
        cipher: String,
        group: String,
        resumed: Bool,
        serverName: String?,
        alpn: String?,
        bindingTag: Int
    ) {
        self.version = version
        self.cipher = cipher
        self.group = group
        self.resumed = resumed
        self.serverName = serverName
        self.alpn = alpn
        self.bindingTag = bindingTag
        pinMatched = false
        peerPin = nil
        clientCertificate = nil
    }

    init(
        _ ssl: OpaquePointer,
        chosen: ServerNameTable.Choice?,
        peerPin: PublicKeyPin?,
        clientCertificate: CertificateFacts? = nil
    ) {
        self.clientCertificate = clientCertificate
        version = String(cString: SSL_get_version(ssl))
        cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) } ?? ""
        group = everyhop_group_name(ssl).map { String(cString: $0) } ?? ""
        resumed = SSL_session_reused(ssl) == 1
        // The library's own answer is the first connection's name once a TLS 1.2 session is resumed.
        serverName =
            chosen.map { $0.name }
            ?? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
        var start: UnsafePointer<UInt8>?
        var count: CUnsignedInt = 0
        SSL_get0_alpn_selected(ssl, &start, &count)
        alpn = start.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self) }
        bindingTag = chosen?.context.tag
        pinMatched = peerPin != nil
        self.peerPin = peerPin
    }
}
