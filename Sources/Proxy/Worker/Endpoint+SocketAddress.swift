import Config
import Platform

extension Endpoint {
    /// The address, where the configuration gives one; a name has to be resolved first.
    var socketAddress: SocketAddress? {
        switch self {
        case .ip(let address, let port): SocketAddress(ip: address.description, port: port)
        case .unix(let path): .unix(path: path)
        case .name: nil
        }
    }
}
