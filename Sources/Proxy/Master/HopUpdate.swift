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
    /// A `Glance` as JSON, which the master need not read.
    var glance: [UInt8]

    init(_ glance: Glance) throws {
        key = HopKey(kind: glance.report.kind, name: glance.report.name, place: glance.report.place)
        verdict = glance.report.verdict
        statement = glance.statement
        self.glance = try glance.json()
    }

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(key.kind.rawValue)
        writer.put(key.name)
        writer.put(key.place)
        writer.put(verdict.rawValue)
        writer.put(statement)
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
