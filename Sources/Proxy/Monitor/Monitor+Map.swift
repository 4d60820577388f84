import Config
import Evidence
import Platform
import Telemetry

/// The hops as they are now.
extension Monitor {
    /// Where each thing that has a rate stands in a sample.
    private enum Place {
        static let requests = 0
        static let errors = 1
        static let handshakes = 2
        static let handshakeFailures = 3
        static let firstServer = 4
    }

    /// Adds up what all pages have counted until now.
    func sample() -> RateWindow.Sample {
        let all = pages.map(\.page)
        func sum(_ value: (MetricsPage) -> Int64) -> Int64 { all.reduce(0) { $0 + value($1) } }
        var counts = [Counter.requests, .responses5xx, .handshakes, .handshakeFailures]
            .map { counter in sum { $0.value(counter) } }
        for server in 0..<serverCount {
            counts.append(sum { $0.value(.requests, server: server) })
            counts.append(sum { $0.value(.failures, server: server) })
        }
        for database in configuration.databases.indices {
            counts.append(sum { $0.value(.sessions, database: database) })
            counts.append(sum { $0.value(.failures, database: database) + $0.value(.refused, database: database) })
        }
        var buckets = [Int64](repeating: 0, count: MetricsPage.bucketCount + 1)
        for page in all {
            for (index, count) in page.histogram(.request).buckets.enumerated() { buckets[index] += count }
        }
        return RateWindow.Sample(at: Self.now, counts: counts, buckets: buckets)
    }

    private var serverCount: Int { configuration.upstreams.reduce(0) { $0 + $1.servers.count } }

    /// Draws the map.
    func map() -> HopMap {
        HopMap(
            program: "everyhop \(Version.text)",
            monitor: identity,
            traffic: traffic(),
            hops: clientHops() + appHops() + databaseHops(),
            audit: audit,
            sandbox: HopMap.Confinement(
                confined.filter { told in told.name != "worker" || pages.contains { $0.process == Int(told.process) } }
            )
        )
    }

    private func traffic() -> HopMap.Traffic {
        var traffic = HopMap.Traffic()
        traffic.workers = serving.count
        traffic.clients = pages.reduce(0) { $0 + $1.page.value(.clientConnectionsActive) }
        traffic.requests = rates.rate(Place.requests)
        traffic.errors = rates.rate(Place.errors)
        traffic.handshakes = rates.rate(Place.handshakes)
        traffic.handshakeFailures = rates.rate(Place.handshakeFailures)
        traffic.p50Milliseconds = rates.quantile(0.5)
        traffic.p99Milliseconds = rates.quantile(0.99)
        traffic.history = rates.history(Place.requests)
        return traffic
    }

    /// A quarter of an hour, or five rounds of the prober, which takes its time where nobody answers.
    private var freshSeconds: Int64 {
        max(900, Int64(clamping: (configuration.audit.probeInterval ?? 60_000) / 200))
    }

    private func clientHops() -> [HopMap.Hop] {
        configuration.sites.flatMap { site in
            site.bindings.map { binding in
                let key = HopKey(kind: .client, name: site.name, place: binding.place)
                return HopMap.Hop(
                    kind: .client,
                    name: key.name,
                    place: key.place,
                    glance: glances[key],
                    freshSeconds: freshSeconds
                )
            }
        }
    }

    private func appHops() -> [HopMap.Hop] {
        var slot = 0
        var hops: [HopMap.Hop] = []
        for (upstream, settings) in configuration.upstreams.enumerated() {
            for (server, address) in settings.servers.enumerated() {
                let key = HopKey(kind: .app, name: settings.name, place: address.value.description)
                let place = Place.firstServer + 2 * slot
                hops.append(
                    HopMap.Hop(
                        kind: .app,
                        name: key.name,
                        place: key.place,
                        health: health(upstream: upstream, server: server, slot: slot).rawValue,
                        load: HopMap.Load(
                            rate: rates.rate(place),
                            errors: rates.rate(place + 1),
                            active: pages.reduce(0) { $0 + $1.page.value(.active, server: slot) }
                        ),
                        glance: glances[key],
                        freshSeconds: freshSeconds
                    )
                )
                slot += 1
            }
        }
        return hops
    }

    private func databaseHops() -> [HopMap.Hop] {
        configuration.databases.enumerated().map { index, database in
            let key = HopKey(kind: .database, name: database.name, place: database.server.value.description)
            let place = Place.firstServer + 2 * (serverCount + index)
            return HopMap.Hop(
                kind: .database,
                name: key.name,
                place: key.place,
                doors: database.bindings.map { door in
                    let how = door.certificates.isEmpty ? "plain, inside this host" : "TLS"
                    return "\(door.place) (\(how))"
                },
                load: HopMap.Load(
                    rate: rates.rate(place),
                    errors: rates.rate(place + 1),
                    active: pages.reduce(0) { $0 + $1.page.value(.active, database: index) }
                ),
                glance: glances[key],
                freshSeconds: freshSeconds
            )
        }
    }

    /// Takes in what the prober has seen.
    func apply(_ update: HopUpdate) {
        guard let glance = try? Glance(json: update.glance) else { return }
        glances[update.key] = glance
    }
}
