import Config
import Platform

/// One address that everyhop listens on.
struct ListenEntry: Hashable {
    enum Kind: String {
        /// TLS with the bindings of this address.
        case https
        /// Plain HTTP that answers with the https address and nothing else.
        case redirect
        /// A database's protocol, in plain or TLS.
        case database
        /// The monitor's address.
        case admin
    }

    let address: SocketAddress
    let kind: Kind
}

/// Every address of a configuration, in an order that master and worker find alike.
struct ListenPlan {
    private(set) var entries: [ListenEntry] = []
    /// Where the monitor answers.
    let admin: ListenEntry?
    /// Which database's binding an address belongs to.
    private(set) var databases: [SocketAddress: DatabasePlace] = [:]
    /// Who passes clients' connections on to an address, each with a PROXY header.
    private(set) var balancers: [SocketAddress: [Network]] = [:]
    /// The modes of the files of unix sockets.
    private(set) var modes: [SocketAddress: Int] = [:]

    /// A binding among all databases.
    struct DatabasePlace: Equatable {
        let database: Int
        let binding: Int
    }

    init(_ configuration: Configuration) {
        admin = configuration.server.admin?.value.socketAddress.map { ListenEntry(address: $0, kind: .admin) }
        for site in configuration.sites {
            for binding in site.bindings {
                for address in Self.addresses(binding.listen) { add(address, .https, binding.acceptProxy) }
            }
            for redirect in site.redirects {
                for address in Self.addresses(redirect.value) { add(address, .redirect, site.acceptProxy) }
            }
        }
        for (index, database) in configuration.databases.enumerated() {
            for (number, binding) in database.bindings.enumerated() {
                for address in addresses(binding.address) {
                    add(address, .database, binding.acceptProxy)
                    databases[address] = DatabasePlace(database: index, binding: number)
                }
            }
        }
    }

    private mutating func addresses(_ address: DatabaseBinding.Address) -> [SocketAddress] {
        switch address {
        case .tcp(let listen): return Self.addresses(listen)
        case .unix(let path, let mode):
            modes[.unix(path: path)] = mode
            return [.unix(path: path)]
        }
    }

    /// `*` is every IPv4 and every IPv6 address: two sockets, so that each can be bound more closely beside it.
    static func addresses(_ listen: ListenAddress) -> [SocketAddress] {
        switch listen.address {
        case .any: ["0.0.0.0", "::"].compactMap { SocketAddress(ip: $0, port: listen.port) }
        case .ip(let ip): [SocketAddress(ip: ip.description, port: listen.port)].compactMap { $0 }
        }
    }

    private mutating func add(_ address: SocketAddress, _ kind: ListenEntry.Kind, _ balancers: [Network]) {
        // One address's bindings say the same.
        if !balancers.isEmpty { self.balancers[address] = balancers }
        let entry = ListenEntry(address: address, kind: kind)
        if !entries.contains(entry) { entries.append(entry) }
    }
}
