import Config
import HTTP

/// What a request says about the server it wants.
extension UpstreamPool {
    func wish(of exchange: Exchange, _ worker: Worker) -> Balancer.Wish {
        var wish = Balancer.Wish(tried: exchange.tried)
        if let sticky, let name = settings.sticky?.cookie.value {
            wish.sticky = Self.session(name, sticky, exchange.request)?.server
        }
        if let key = settings.hash {
            let client = exchange.clientSide(worker)?.identity
            wish.hash = Self.hash(key, client, exchange.request, worker.snapshot)
        }
        return wish
    }

    /// The line that a response needs to make its client stay at the server it came from; nil when the client will.
    func cookie(answering request: borrowing RequestHead, from server: Int) -> [UInt8]? {
        guard let sticky, let name = settings.sticky?.cookie.value else { return nil }
        if let session = Self.session(name, sticky, request), session == (server, true) { return nil }
        return sticky.line(for: server)
    }

    private static func session(
        _ name: String,
        _ tokens: StickyTokens,
        _ request: borrowing RequestHead
    ) -> (server: Int, isCurrent: Bool)? {
        guard let place = request.fields.cookie(named: name) else { return nil }
        return tokens.server(of: request.fields.value(place.line).extracting(place.range))
    }

    /// nil when the request lacks what is hashed.
    private static func hash(
        _ key: Config.Upstream.HashKey,
        _ client: ClientIdentity?,
        _ request: borrowing RequestHead,
        _ snapshot: Snapshot
    ) -> UInt64? {
        switch key {
        case .client:
            guard let client else { return nil }
            // Behind a proxy that is trusted it is the proxy's client who counts, as in routing.
            guard client.isTrusted, let address = snapshot.address(of: request, from: client) else {
                return Hash.bytes(client.host)
            }
            return Hash.bytes(address.description.utf8)
        case .path: return Hash.bytes(request.path)
        case .header(let name):
            guard let line = request.fields.first(named: name) else { return nil }
            return Hash.bytes(request.fields.value(line))
        case .cookie(let name):
            guard let place = request.fields.cookie(named: name) else { return nil }
            return Hash.bytes(request.fields.value(place.line).extracting(place.range))
        }
    }
}
