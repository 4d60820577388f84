/// The options of a PRELOGIN message (MS-TDS 2.2.6.5), in their order.
struct PreLogin: Equatable {
    /// What the ENCRYPTION option says.
    enum Encryption: UInt8 {
        /// Able to, for the login only.
        case off = 0
        case on = 1
        case notSupported = 2
        case required = 3
        /// TDS 8.0: encrypted already. Some drivers say so, and expect to hear it; others say `off`.
        case strict = 4
    }

    struct Option: Equatable {
        var token: UInt8
        var data: [UInt8]
    }

    private static let versionToken: UInt8 = 0
    private static let encryptionToken: UInt8 = 1
    private static let terminator: UInt8 = 0xFF

    private(set) var options: [Option]

    /// A client or server that says nothing but this.
    init(version: [UInt8], _ encryption: Encryption) {
        options = [
            Option(token: Self.versionToken, data: version),
            Option(token: Self.encryptionToken, data: [encryption.rawValue]),
        ]
    }

    init(_ payload: [UInt8]) throws(TDSPacket.Malformed) {
        options = []
        var reader = MessageReader(payload)
        do throws(MessageReader.Truncated) {
            while true {
                let token = try reader.byte()
                if token == Self.terminator { break }
                let offset = try reader.bigEndian(2)
                let length = try reader.bigEndian(2)
                var data = MessageReader(payload)
                try data.skip(offset)
                options.append(Option(token: token, data: try data.bytes(length)))
            }
        } catch { throw TDSPacket.Malformed(reason: "a PRELOGIN option outside its message") }
        guard !options.isEmpty else { throw TDSPacket.Malformed(reason: "a PRELOGIN without options") }
        guard Set(options.map(\.token)).count == options.count else {
            throw TDSPacket.Malformed(reason: "a PRELOGIN option twice")
        }
        guard options.first(where: { $0.token == Self.encryptionToken })?.data.count ?? 1 == 1 else {
            throw TDSPacket.Malformed(reason: "a malformed ENCRYPTION option")
        }
    }

    /// What is said about encryption; without the option, that there is none.
    ///
    /// 0x80 stands for client certificates.
    ///
    /// - Returns: nil for a value that MS-TDS does not know.
    var encryption: Encryption? {
        guard let option = options.first(where: { $0.token == Self.encryptionToken }), let value = option.data.first
        else { return .notSupported }
        return Encryption(rawValue: value & 0x7F)
    }

    /// The same with another word on encryption.
    func saying(_ encryption: Encryption) -> PreLogin {
        var changed = self
        if let index = options.firstIndex(where: { $0.token == Self.encryptionToken }) {
            changed.options[index].data = [encryption.rawValue]
        } else {
            // VERSION has to come first.
            changed.options.insert(
                Option(token: Self.encryptionToken, data: [encryption.rawValue]),
                at: min(1, changed.options.count)
            )
        }
        return changed
    }

    /// The message's payload.
    var payload: [UInt8] {
        var head: [UInt8] = []
        var data: [UInt8] = []
        let headSize = options.count * 5 + 1
        for option in options {
            head.append(option.token)
            head.appendBigEndian(headSize + data.count, count: 2)
            head.appendBigEndian(option.data.count, count: 2)
            data += option.data
        }
        return head + [Self.terminator] + data
    }
}
