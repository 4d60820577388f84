import COpenSSL

/// The bindings of one listening address by server name (RFC 6066 §3): exact, then wildcard, then the default.
///
/// *Ownership:* holds the contexts; connections hold the table.
public final class ServerNameTable {
    let base: ContextHandle
    private var exact: [String: ServerContext] = [:]
    private var wildcard: [String: ServerContext] = [:]
    private var fallback: ServerContext?
    let policy: TLSPolicy
    /// Whether plain handshakes are our own.
    let shakesHands: Bool
    /// By name: what authorities are shown that ask for a proof (RFC 8737).
    public var challenges: [String: ServerContext] = [:]
    /// What the callback chose during the handshake step that runs now.
    var choice: Choice?

    /// The binding of a connection, and the name that led to it.
    struct Choice {
        let context: ServerContext
        let name: String?
    }

    /// Makes an empty table.
    ///
    /// - Parameters:
    ///   - policy: that of most bindings; a binding with another one keeps its own.
    ///   - shakesHands: whether plain handshakes are our own; all are the library's under FIPS.
    public init(policy: TLSPolicy, shakesHands: Bool = true) throws(TLSError) {
        self.policy = policy
        self.shakesHands = shakesHands && !FIPS.isOn
        base = try ContextHandle(isServer: true, policy)
        ServerContext.setTickets(base.raw)
        SSL_CTX_set_client_hello_cb(
            base.raw,
            { ssl, alert, table in
                guard let ssl, let table else { return SSL_CLIENT_HELLO_ERROR }
                return Unmanaged<ServerNameTable>.fromOpaque(table)._withUnsafeGuaranteedRef { $0.choose(ssl, alert) }
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    /// Adds a binding.
    ///
    /// The first one added for a name wins.
    ///
    /// - Parameter host: an exact name, `*.` and a name, or nil for the address's default.
    public func add(_ context: ServerContext, host: String?) {
        guard let host = host?.lowercased() else {
            if fallback == nil { fallback = context }
            return
        }
        if host.hasPrefix("*.") {
            let suffix = String(host.dropFirst())
            if wildcard[suffix] == nil { wildcard[suffix] = context }
        } else if exact[host] == nil {
            exact[host] = context
        }
    }

    /// The binding for a name; nil when there is none.
    func context(for name: String?) -> ServerContext? {
        guard let name = name?.lowercased() else { return fallback }
        if let context = exact[name] { return context }
        if let dot = name.firstIndex(of: "."), dot != name.startIndex, let context = wildcard[String(name[dot...])] {
            return context
        }
        return fallback
    }

    /// Whether proofs are shown for a name at present, so that the protocol decides what a client gets.
    func isChallenge(_ name: String?) -> Bool { challenge(of: name) != nil }

    private func challenge(of name: String?) -> ServerContext? {
        guard !challenges.isEmpty, let name else { return nil }
        return challenges[name.lowercased()]
    }

    /// Runs before any extension is read, so that certificates, tickets and protocols are the binding's from the start.
    private func choose(_ ssl: OpaquePointer, _ alert: UnsafeMutablePointer<CInt>?) -> CInt {
        let name = Self.serverName(ssl)
        guard let context = challenge(ssl, name) ?? context(for: name) else {
            alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
            return SSL_CLIENT_HELLO_ERROR
        }
        guard SSL_set_SSL_CTX(ssl, context.handle.raw) != nil,
            context.policy == policy || context.policy.apply(toConnection: ssl)
        else {
            alert?.pointee = SSL_AD_INTERNAL_ERROR
            return SSL_CLIENT_HELLO_ERROR
        }
        context.failure = nil
        context.clients?.demand(of: ssl)
        choice = Choice(context: context, name: name)
        return SSL_CLIENT_HELLO_SUCCESS
    }

    /// What a proof is asked for with: this protocol, and no other (RFC 8737 §3).
    private func challenge(_ ssl: OpaquePointer, _ name: String?) -> ServerContext? {
        guard let context = challenge(of: name) else { return nil }
        var start: UnsafePointer<UInt8>?
        var count = 0
        let type = CUnsignedInt(TLSEXT_TYPE_application_layer_protocol_negotiation)
        guard SSL_client_hello_get0_ext(ssl, type, &start, &count) == 1, let start else { return nil }
        return UnsafeBufferPointer(start: start, count: count).elementsEqual(Self.challengeOffer) ? context : nil
    }

    /// The name of the protocol in which only proofs are shown.
    public static let challengeProtocol = "acme-tls/1"

    /// That protocol alone: length of the list (2), length of the name (1), name.
    private static let challengeOffer =
        [0, UInt8(challengeProtocol.utf8.count + 1), UInt8(challengeProtocol.utf8.count)] + challengeProtocol.utf8

    /// The host_name entry of the client's hello: list length (2), type (1), length (2), name.
    private static func serverName(_ ssl: OpaquePointer) -> String? {
        var start: UnsafePointer<UInt8>?
        var count = 0
        guard SSL_client_hello_get0_ext(ssl, CUnsignedInt(TLSEXT_TYPE_server_name), &start, &count) == 1, let start,
            count > 5, start[2] == UInt8(TLSEXT_NAMETYPE_host_name)
        else { return nil }
        let length = Int(start[3]) << 8 | Int(start[4])
        guard length > 0, length <= 255, length + 5 <= count else { return nil }
        let name = UnsafeBufferPointer(start: start + 5, count: length)
        return String(decoding: name, as: UTF8.self)
    }
}
