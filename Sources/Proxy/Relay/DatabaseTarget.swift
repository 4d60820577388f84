import Config
import Database
import Platform
import TLS

/// One database as this worker sees it: the server with its trust, and the bindings that lead to it.
final class DatabaseTarget {
    /// A binding: how its clients are met.
    struct Door {
        let negotiation: NegotiationSettings
        /// Its certificate; nil where clients speak plain.
        let table: ServerNameTable?
    }

    let index: Int
    private(set) var settings: Config.Database
    private(set) var context: ClientContext
    /// What clients in plain encrypt their MySQL password with.
    let passwordKey: PasswordKey?
    private(set) var doors: [Door]
    private(set) var addresses: [SocketAddress]
    private var nextAddress = 0
    /// Sessions now.
    var sessions = 0

    init(
        index: Int,
        settings: Config.Database,
        context: ClientContext,
        passwordKey: PasswordKey?,
        doors: [Door],
        addresses: [SocketAddress]
    ) {
        self.index = index
        self.settings = settings
        self.context = context
        self.passwordKey = passwordKey
        self.doors = doors
        self.addresses = addresses
    }

    /// Uses other certificates and trust for the sessions that follow.
    func use(_ trust: TrustMaterial.Database) {
        settings = trust.settings
        if let other = trust.context { context = other }
        doors = zip(doors, trust.tables).map { Door(negotiation: $0.negotiation, table: $1) }
    }

    /// Whether this worker may carry no more sessions.
    var isFull: Bool { settings.maximumConnections.map { sessions > $0 } ?? false }

    /// New addresses of the server's name; sessions that stand are kept.
    func setAddresses(_ addresses: [SocketAddress]) {
        self.addresses = addresses
        nextAddress = 0
    }

    /// Where to connect now; nil while the name has no address.
    var address: SocketAddress? { addresses.isEmpty ? nil : addresses[nextAddress % addresses.count] }

    /// The present address could not be reached: the next one is to be tried.
    func turn() { nextAddress &+= 1 }

    /// Begins a session's negotiation at a binding.
    func negotiation(at door: Int) -> Negotiation {
        let settings = doors[door].negotiation
        switch self.settings.kind {
        case .tds: return .tds(TDSNegotiation(settings))
        case .postgres: return .postgres(PostgresNegotiation(settings))
        case .mysql: return .mysql(MySQLNegotiation(settings))
        }
    }
}
