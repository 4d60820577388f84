import Platform

/// Which server a connection leads to: one of an upstream's, by one of its addresses.
struct ServerPlace {
    /// The upstream's place among all.
    let pool: Int
    /// The server's place in its upstream.
    let endpoint: Int
    let address: SocketAddress
    /// Under which of the pool's trusts, counted, the connection was begun.
    let trust: Int
}
