extension TableReader {
    /// A list of addresses and networks; nil when the key is not there.
    func networks(_ key: String) -> [Network]? {
        strings(key)?.compactMap { text in
            if let network = Network(text.value) { return network }
            complain(
                at: text.position,
                "\"\(text.value)\" is no address and no network",
                fix: "write it like \"10.0.0.7\", \"10.0.0.0/8\" or \"2001:db8::/32\""
            )
            return nil
        }
    }
}

extension DatabaseBinding {
    /// What a load balancer passes on has come from other hosts, and is encrypted.
    static func acceptProxy(_ table: TableReader) -> [Network] {
        guard let networks = table.networks("accept_proxy"), !networks.isEmpty,
            let position = table.node("accept_proxy")?.position
        else { return [] }
        if table.node("unix") != nil {
            table.complain(at: position, "accept_proxy has a meaning with ip and port only", fix: "drop it")
        } else if table.node("certificate") == nil {
            table.complain(
                at: position,
                "accept_proxy needs a certificate: what is passed on to this binding has crossed a network",
                fix: "add certificate = \"NAME\", or drop accept_proxy"
            )
        }
        return networks
    }
}

extension Upstream {
    /// A connection that is announced as a client's carries one client's requests, one after the other.
    static func sendProxy(_ table: TableReader, _ version: HTTPVersion) -> ProxyProtocol? {
        let sendProxy = table.word("send_proxy", ProxyProtocol.self)
        if sendProxy != nil, version != .http11 {
            table.complain(
                at: table.node("send_proxy")?.position ?? table.position,
                "send_proxy and protocol = \"\(version.rawValue)\" do not go together: clients would share a connection",
                fix: "drop protocol, or drop send_proxy: X-Forwarded-For tells servers the client's address, too"
            )
        }
        return sendProxy
    }
}

/// A PROXY header comes before anything that could tell one binding of an address from another.
struct ProxyChecks {
    private struct Listener {
        let listen: ListenAddress
        let networks: [Network]
        let position: Position
    }

    private let listeners: [Listener]

    init(_ sites: [Site]) {
        listeners = sites.flatMap { site in
            site.bindings.flatMap { Self.listeners($0.listen, $0.acceptProxy, $0.position) }
                + site.redirects.flatMap { Self.listeners($0.value, site.acceptProxy, $0.position) }
        }
    }

    func run() -> [Diagnostic] {
        var first: [ListenAddress: Listener] = [:]
        var seen: Set<Int> = []
        return listeners.compactMap { listener in
            guard let other = first[listener.listen] else {
                first[listener.listen] = listener
                return nil
            }
            guard other.networks != listener.networks, seen.insert(listener.position.line).inserted else { return nil }
            return Diagnostic(
                at: listener.position,
                "accept_proxy is not the same as for line \(other.position.line), which has the same ip and port",
                fix: "write it alike: the PROXY header comes before the host name is known"
            )
        }
    }

    /// `*` is both families' every address.
    private static func listeners(_ listen: ListenAddress, _ networks: [Network], _ position: Position) -> [Listener] {
        let addresses: [BindingAddress] =
            listen.address == .any ? ["0.0.0.0", "::"].compactMap { IPAddress($0).map { .ip($0) } } : [listen.address]
        return addresses.map {
            Listener(listen: ListenAddress(address: $0, port: listen.port), networks: networks, position: position)
        }
    }
}
