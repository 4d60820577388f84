import Config
import HTTP
import Telemetry

/// What becomes of a request: the site by its binding, then who is served, how often, and the route.
extension Worker {
    func decide(on request: borrowing RequestHead, from client: ClientIdentity) -> Snapshot.Decision {
        switch snapshot.owner(of: request, on: client) {
        case .site(let site):
            guard let table = snapshot.routeTables[site] else {
                return snapshot.end(ofSite: site, route: nil, for: request)
            }
            return choose(table, site, request, client)
        case .misdirected: return .misdirected
        case .nobody: return .denied(400, "no binding", site: nil)
        }
    }

    private func choose(
        _ table: RouteTable,
        _ site: Int,
        _ request: borrowing RequestHead,
        _ client: ClientIdentity
    ) -> Snapshot.Decision {
        let address = snapshot.address(of: request, from: client)
        if let denial = check(table.guards, "the site", address, client, site) { return denial }
        if table.matchesPaths {
            do throws(PathAmbiguity) {
                try path.read(request.path)
            } catch {
                metrics.add(.requestsRefused)
                return .denied(400, "\(error.reason)", site: site)
            }
        }
        guard let entry = table.entry(for: path, host: request.hostName) else {
            return snapshot.end(ofSite: site, route: nil, for: request)
        }
        if let denial = check(entry.guards, entry.name, address, client, site) { return denial }
        return snapshot.end(ofSite: site, route: entry.route, for: request)
    }

    /// nil when the client is served.
    private func check(
        _ guards: RouteTable.Guards,
        _ name: String,
        _ address: AddressBits?,
        _ client: ClientIdentity,
        _ site: Int
    ) -> Snapshot.Decision? {
        if let access = guards.access, !access.admits(address) {
            metrics.add(.requestsDenied)
            let who = address?.description ?? "in X-Forwarded-For, which is not readable,"
            return .denied(403, "\(name) does not admit the address \(who)", site: site)
        }
        guard let rate = guards.rate, let key = address ?? AddressBits(client.peer),
            let wait = limiter.take(rate, guards.number, key, now: nowMicroseconds)
        else { return nil }
        metrics.add(.requestsLimited)
        return .denied(
            429,
            "\(name) has served the address \(key.description) often enough",
            site: site,
            retryAfter: (wait + 999_999) / 1_000_000
        )
    }
}
