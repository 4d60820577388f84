import Platform

extension Sandbox.Report {
    func encoded() -> [UInt8] {
        var writer = WireWriter()
        let held = Sandbox.Layer.allCases.filter { layers.contains($0) }
        writer.put(held.count)
        for layer in held { writer.put(layer.rawValue) }
        writer.put(missing.count)
        for (layer, reason) in missing.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            writer.put(layer.rawValue)
            writer.put(reason)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        self.init()
        var reader = WireReader(bytes)
        for _ in 0..<(try reader.count()) {
            guard let layer = Sandbox.Layer(rawValue: try reader.text()) else { throw WireReader.Malformed() }
            layers.insert(layer)
        }
        for _ in 0..<(try reader.count()) {
            guard let layer = Sandbox.Layer(rawValue: try reader.text()) else { throw WireReader.Malformed() }
            missing[layer] = try reader.text()
        }
    }
}
