import Platform
import TLS

/// What the log says about the server's connection of an exchange.
struct ServerFacts {
    var endpoint = 0
    var address: SocketAddress?
    var tls: TLSFacts?
    var reused = false
}
