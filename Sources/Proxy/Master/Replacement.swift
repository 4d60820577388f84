import Bytes
import Config

/// Certificates, keys, trust and ticket keys on their way into living workers.
///
/// Every worker makes them ready; only when all of them can, all of them use them.
struct Replacement {
    enum Phase {
        /// Workers make them ready. Next: using, or given up.
        case preparing
        /// Workers change to them. The end.
        case using
    }

    /// How long workers may take for either, in milliseconds.
    static let patience: UInt64 = 20_000

    let number: Int
    let bundle: Bundle
    let configuration: Configuration
    /// Whether a reload brings them, and not a file that has changed.
    let isAsked: Bool
    var phase = Phase.preparing
    /// Processes that have not answered yet.
    var waiting: Set<Int32> = []
    var due: UInt64
}

/// A number, and what goes with it.
struct ReplacementMessage {
    var number: Int
    /// An encoded bundle, or a reason.
    var content: [UInt8]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(number)
        writer.put(content)
        return writer.bytes
    }

    init(_ number: Int, _ content: [UInt8] = []) {
        self.number = number
        self.content = content
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        number = try reader.int()
        content = try reader.block()
    }
}
