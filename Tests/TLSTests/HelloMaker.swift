import COpenSSL

@testable import TLS

/// Makes hellos as clients say them, and as they should not.
struct HelloMaker {
    var type: UInt8 = 1
    var version: UInt16 = 0x0303
    var random = [UInt8](repeating: 7, count: 32)
    var sessionID = [UInt8](repeating: 9, count: 32)
    var suites: [UInt16] = [0x1301, 0x1302, 0xC02B, 0xC02F]
    var compression: [UInt8] = [0]
    /// In their order.
    var extensions: [(type: UInt16, content: [UInt8])]

    /// What today's clients say; with a key that is a point of the curve, in TLS 1.3 and, when that is refused, 1.2.
    init(isModern: Bool = true) {
        extensions = [
            (0x0A0A, []),
            (0, Self.vector(2, [0] + Self.vector(2, "app.internal".bytes))),
            (10, Self.vector(2, [0x0A, 0x0A, 0, 0x1D, 0, 0x17])),
            (11, Self.vector(1, [0])),
            (13, Self.vector(2, [4, 3, 8, 4, 4, 1])),
            (16, Self.vector(2, Self.vector(1, "h2".bytes) + Self.vector(1, "http/1.1".bytes))),
            (23, []),
            (35, []),
            (0xFF01, [0]),
        ]
        guard isModern else { return }
        extensions += [
            (43, Self.vector(1, [0x0A, 0x0A, 3, 4, 3, 3])),
            (45, Self.vector(1, [1])),
            (
                51,
                Self.vector(2, [0x0A, 0x0A, 0, 1, 0, 0, 0x1D] + Self.vector(2, [9] + [UInt8](repeating: 0, count: 31)))
            ),
        ]
    }

    /// Bytes behind their length.
    static func vector(_ size: Int, _ bytes: [UInt8]) -> [UInt8] {
        var writer = MessageWriter()
        writer.vector(size) { $0.append(bytes) }
        return writer.bytes
    }

    /// The same with another content, or without that extension.
    func with(_ type: UInt16, _ content: [UInt8]?) -> HelloMaker {
        var copy = self
        copy.extensions.removeAll { $0.type == type }
        if let content { copy.extensions.append((type, content)) }
        return copy
    }

    func changed(_ change: (inout HelloMaker) -> Void) -> HelloMaker {
        var copy = self
        change(&copy)
        return copy
    }

    var message: [UInt8] {
        var writer = MessageWriter()
        writer.message(type) { writer in
            writer.append(short: version)
            writer.append(random)
            writer.vector(1) { $0.append(sessionID) }
            writer.vector(2) { writer in
                for suite in suites { writer.append(short: suite) }
            }
            writer.vector(1) { $0.append(compression) }
            writer.vector(2) { writer in
                for (type, content) in extensions {
                    writer.append(short: type)
                    writer.vector(2) { $0.append(content) }
                }
            }
        }
        return writer.bytes
    }

    var record: [UInt8] { RecordHeader.plainRecord(RecordType.handshake, message) }
}
