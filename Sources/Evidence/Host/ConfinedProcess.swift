internal import FoundationEssentials
public import Platform

/// A process of everyhop and its sandbox, as it told the master when it had put it on.
public struct ConfinedProcess: Codable, Sendable, Equatable {
    /// A layer that it has not put on.
    public struct Lack: Codable, Sendable, Equatable {
        /// Which.
        public let layer: String
        /// What the kernel said.
        public let reason: String
    }

    /// What it is: `worker`, `monitor` and so on.
    public let name: String
    /// Its number.
    public let process: Int32
    /// What it has put on.
    public let layers: [String]
    /// What it has not, though it should.
    public let missing: [Lack]

    /// A process and what it told.
    public init(_ name: String, _ process: Int32, _ report: Sandbox.Report) {
        self.name = name
        self.process = process
        layers = Sandbox.Layer.allCases.filter(report.layers.contains).map(\.rawValue)
        missing = Sandbox.Layer.allCases.compactMap { layer in
            report.missing[layer].map { Lack(layer: layer.rawValue, reason: $0) }
        }
    }

    /// What was told of a layer; nil when this process goes without it by design.
    func has(_ layer: Sandbox.Layer) -> Bool? {
        if layers.contains(layer.rawValue) { return true }
        return missing.contains { $0.layer == layer.rawValue } ? false : nil
    }

    /// Several, for another process of this program.
    ///
    /// - Throws: when the library refuses a value.
    public static func json(_ processes: [ConfinedProcess]) throws -> [UInt8] {
        Array(try JSONEncoder().encode(processes))
    }

    /// Reads what `json` wrote.
    ///
    /// - Throws: when it is anything else.
    public static func read(json: [UInt8]) throws -> [ConfinedProcess] {
        try JSONDecoder().decode([ConfinedProcess].self, from: Data(json))
    }
}
