import Platform
import Telemetry

/// What a master tells the program that takes over, beside sockets, ticket keys, health and hops.
struct Inheritance: Equatable {
    /// Another number is another way of handing over, and such a program cannot take over.
    static let version = 1

    var generation = 0
    /// Last addresses of servers, by name.
    var addresses: [String: [String]] = [:]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(Self.version)
        writer.put(generation)
        writer.put(addresses.count)
        for (name, list) in addresses.sorted(by: { $0.key < $1.key }) {
            writer.put(name)
            writer.put(list.count)
            for address in list { writer.put(address) }
        }
        return writer.bytes
    }

    init(generation: Int, addresses: [String: [String]]) {
        self.generation = generation
        self.addresses = addresses
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        guard try reader.int() == Self.version else { throw WireReader.Malformed() }
        generation = try reader.int()
        for _ in 0..<(try reader.count()) {
            let name = try reader.text()
            for _ in 0..<(try reader.count()) { addresses[name, default: []].append(try reader.text()) }
        }
    }
}

/// A listening socket on its way to the program that takes over.
struct InheritedSocket: Equatable {
    var entry: ListenEntry
    /// Whether the service manager opened it: no more can be opened beside it.
    var isActivated: Bool

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(entry.kind.rawValue)
        writer.put(entry.address.path ?? entry.address.host)
        writer.put(entry.address.path == nil ? Int(entry.address.port) : -1)
        writer.put(isActivated ? 1 : 0)
        return writer.bytes
    }

    init(entry: ListenEntry, isActivated: Bool) {
        self.entry = entry
        self.isActivated = isActivated
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        let kind = ListenEntry.Kind(rawValue: try reader.text())
        let host = try reader.text()
        let port = try reader.int()
        let address = port < 0 ? .unix(path: host) : SocketAddress(ip: host, port: UInt16(truncatingIfNeeded: port))
        guard let kind, let address else { throw WireReader.Malformed() }
        entry = ListenEntry(address: address, kind: kind)
        isActivated = try reader.int() == 1
    }
}

extension MetricsTally {
    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(values.count)
        for (key, value) in values {
            writer.put(key)
            writer.put(Int(value))
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        var values: [String: Int64] = [:]
        for _ in 0..<(try reader.count()) {
            let key = try reader.text()
            values[key] = Int64(try reader.int())
        }
        self.init(values)
    }
}
