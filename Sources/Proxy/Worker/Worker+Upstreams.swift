import Bytes
import Config
import Telemetry

/// What a worker does for its upstreams beside serving exchanges.
extension Worker {
    /// What is due by the clock.
    func tendPools() {
        for pool in pools { pool.tend(self) }
        guard pools.contains(where: { $0.settings.timeouts.total != nil }) else { return }
        for token in exchanges.tokens { exchanges[token]?.checkTotal(self) }
    }

    /// What the monitor has found out about a server; nothing when a later configuration does not have it.
    func apply(_ update: HealthUpdate?) {
        guard let update,
            let pool = pools.first(where: { $0.settings.name == update.upstream && $0.settings.health != nil }),
            let server = pool.settings.servers.firstIndex(where: { $0.value.description == update.server })
        else { return }
        pool.checked(server, isUp: update.isUp, self)
    }
}
