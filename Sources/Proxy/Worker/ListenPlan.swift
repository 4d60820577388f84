import Config
import Platform

/// One address that everyhop listens on.
struct ListenEntry: Hashable {
    enum Kind: Hashable {
        /// TLS with the bindings of this address.
        case https
        /// Plain HTTP that answers with the https address and nothing else.
        case redirect
    }

    let address: SocketAddress
    let kind: Kind
}

/// Every address of a configuration, in an order that master and worker find alike.
struct ListenPlan {
    private(set) var entries: [ListenEntry] = []

    init(_ configuration: Configuration) {
        for site in configuration.sites {
            for binding in site.bindings {
                for address in Self.addresses(binding.listen) { add(address, .https) }
            }
            for redirect in site.redirects {
                for address in Self.addresses(redirect.value) { add(address, .redirect) }
            }
        }
    }

    /// `*` is every IPv4 and every IPv6 address: two sockets, so that each can be bound more closely beside it.
    static func addresses(_ listen: ListenAddress) -> [SocketAddress] {
        switch listen.address {
        case .any: ["0.0.0.0", "::"].compactMap { SocketAddress(ip: $0, port: listen.port) }
        case .ip(let ip): [SocketAddress(ip: ip.description, port: listen.port)].compactMap { $0 }
        }
    }

    private mutating func add(_ address: SocketAddress, _ kind: ListenEntry.Kind) {
        let entry = ListenEntry(address: address, kind: kind)
        if !entries.contains(entry) { entries.append(entry) }
    }
}
