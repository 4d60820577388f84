import Config
import HTTP

/// What a request says about the server it wants.
extension UpstreamPool {
    func wish(of exchange: Exchange, _ worker: Worker) -> Balancer.Wish {
        var wish = Balancer.Wish(tried: exchange.tried)
        if let key = settings.hash {
            let client = exchange.clientSide(worker)?.identity.host
            wish.hash = Self.hash(key, client, exchange.request)
        }
        return wish
    }

    /// nil when the request lacks what is hashed.
    private static func hash(
        _ key: Config.Upstream.HashKey,
        _ client: [UInt8]?,
        _ request: borrowing RequestHead
    ) -> UInt64? {
        switch key {
        case .client: return client.map { Hash.bytes($0) }
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
