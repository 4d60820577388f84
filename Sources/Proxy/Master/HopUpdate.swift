import Config
import Evidence
import Platform

/// Which hop of a configuration.
struct HopKey: Hashable {
    var kind: HopReport.Kind
    /// The site's, upstream's or database's name.
    var name: String
    /// The address, as the configuration has it.
    var place: String
}

extension Configuration {
    /// Every hop, from the client to the database.
    var hopKeys: [HopKey] {
        sites.flatMap { site in site.bindings.map { HopKey(kind: .client, name: site.name, place: $0.place) } }
            + upstreams.flatMap { upstream in
                upstream.servers.map { HopKey(kind: .app, name: upstream.name, place: $0.value.description) }
            }
            + databases.map { HopKey(kind: .database, name: $0.name, place: $0.server.value.description) }
    }
}

/// What a look at a hop has shown; by name, so that it holds beyond a reload.
struct HopUpdate {
    var key: HopKey
    var verdict: Verdict
    /// What was found, for the log.
    var statement: String
    /// The key that was shown and how long its certificate lasts, in seconds since 1970; nil when none was shown.
    var life: (key: String, notBefore: Int64?, notAfter: Int64)?
    /// A `Glance` as JSON, which the master need not read.
    var glance: [UInt8]

    init(_ glance: Glance) throws {
        key = HopKey(kind: glance.report.kind, name: glance.report.name, place: glance.report.place)
        verdict = glance.report.verdict
        statement = glance.statement
        if let key = glance.key, let notAfter = glance.notAfter { life = (key, glance.notBefore, notAfter) }
        self.glance = try glance.json()
    }

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(key.kind.rawValue)
        writer.put(key.name)
        writer.put(key.place)
        writer.put(verdict.rawValue)
        writer.put(statement)
        writer.put(life?.key ?? "")
        writer.put(Int(life?.notBefore ?? Int64.min))
        writer.put(Int(life?.notAfter ?? 0))
        writer.put(glance)
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        guard let kind = HopReport.Kind(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        key = HopKey(kind: kind, name: try reader.text(), place: try reader.text())
        guard let verdict = Verdict(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        self.verdict = verdict
        statement = try reader.text()
        let shown = try reader.text()
        let notBefore = Int64(try reader.int())
        // Times that can be reckoned with, whatever is said.
        let notAfter = min(max(Int64(try reader.int()), -1 << 40), 1 << 40)
        if !shown.isEmpty { life = (shown, notBefore == .min ? nil : min(max(notBefore, -1 << 40), 1 << 40), notAfter) }
        glance = try reader.block()
    }
}

extension HopMap.Audit {
    /// The largest report that is read, in bytes.
    private static let limit = 16 << 20

    /// What the master has told: a report's file, or why there is none.
    init(_ payload: [UInt8], _ descriptor: consuming FileDescriptor?) {
        guard let file = descriptor.take() else {
            self.init(State(rawValue: String(decoding: payload, as: UTF8.self)) ?? .unreadable)
            return
        }
        guard let bytes = try? File.readAll(file, limit: Self.limit) else {
            self.init(.unreadable)
            return
        }
        self.init(report: bytes)
    }
}
