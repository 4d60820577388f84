/// What a server answers to a `ClientHello`: a choice, or a refusal.
enum HelloAnswer: Equatable, Sendable {
    /// The server agrees: this version, this suite.
    case agreed(ProtocolVersion, CipherSuite)
    /// An alert (RFC 8446 §6).
    case alert(UInt8)
    /// The connection ended, or was reset, without a word.
    case closed
    /// Nothing, until the time was over: neither a choice nor a refusal.
    case silence
    /// Something that is not TLS.
    case notTLS
    /// More bytes are needed.
    case more

    /// The longest answer that is looked at, in bytes: one record.
    static let most = 5 + 16_384 + 2048

    /// Reads what has come so far (RFC 8446 §4.1.3, §5.1).
    ///
    /// - Parameter isEnd: whether nothing more comes.
    init(_ bytes: [UInt8], isEnd: Bool) {
        self = Self.read(bytes)
        if self == .more, isEnd { self = .closed }
    }

    private static func read(_ bytes: [UInt8]) -> HelloAnswer {
        guard let first = bytes.first else { return .more }
        // SSL 2.0: a length with its highest bit set, then SERVER-HELLO.
        if first & 0x80 != 0 {
            guard bytes.count >= 3 else { return .more }
            return bytes[2] == 4 ? .agreed(.ssl2, CipherSuite(number: 0)) : .notTLS
        }
        guard bytes.count >= 5 else { return first == 22 || first == 21 ? .more : .notTLS }
        guard bytes[1] == 3 else { return .notTLS }
        let length = Int(bytes[3]) << 8 | Int(bytes[4])
        switch first {
        case 21:
            guard length == 2 else { return .notTLS }
            return bytes.count >= 7 ? .alert(bytes[6]) : .more
        case 22: return hello(Reader(bytes, from: 5))
        default: return .notTLS
        }
    }

    /// The message may go on in a second record; none of what is read here is that far back.
    private static func hello(_ reader: Reader) -> HelloAnswer {
        var reader = reader
        guard let type = reader.number(1) else { return .more }
        guard type == 2 else { return .notTLS }
        guard let length = reader.number(3) else { return .more }
        guard length <= 16_384 else { return .notTLS }
        guard reader.left >= length else { return .more }
        guard var body = reader.part(length), var version = body.number(2), body.part(32) != nil,
            let session = body.number(1), body.part(session) != nil, let suite = body.number(2), body.number(1) != nil
        else { return .notTLS }
        // Without extensions it ends here (RFC 5246 §7.4.1.3).
        if let size = body.number(2) {
            guard var extensions = body.part(size) else { return .notTLS }
            while let type = extensions.number(2) {
                guard let size = extensions.number(2), var data = extensions.part(size) else { return .notTLS }
                if type == 43, let chosen = data.number(2) { version = chosen }
            }
        }
        guard let known = ProtocolVersion(rawValue: UInt16(truncatingIfNeeded: version)) else { return .notTLS }
        return .agreed(known, CipherSuite(number: UInt16(truncatingIfNeeded: suite)))
    }

    /// The name of an alert (RFC 8446 §6, and those of older versions).
    static func alertName(_ number: UInt8) -> String {
        switch number {
        case 0: "close_notify"
        case 10: "unexpected_message"
        case 20: "bad_record_mac"
        case 22: "record_overflow"
        case 40: "handshake_failure"
        case 42: "bad_certificate"
        case 46: "certificate_unknown"
        case 47: "illegal_parameter"
        case 50: "decode_error"
        case 51: "decrypt_error"
        case 70: "protocol_version"
        case 71: "insufficient_security"
        case 80: "internal_error"
        case 86: "inappropriate_fallback"
        case 109: "missing_extension"
        case 112: "unrecognized_name"
        case 116: "certificate_required"
        case 120: "no_application_protocol"
        default: "alert \(number)"
        }
    }

    /// For people.
    var text: String {
        switch self {
        case .agreed(let version, let suite): version == .ssl2 ? version.name : "\(version.name), \(suite.name)"
        case .alert(let number): "alert \(Self.alertName(number)) (\(number))"
        case .closed: "the connection was closed"
        case .notTLS: "an answer that is not TLS"
        case .more: "no answer"
        case .silence: "no answer in time"
        }
    }

    private struct Reader {
        private let bytes: [UInt8]
        private var place: Int
        private let end: Int

        init(_ bytes: [UInt8], from place: Int, to end: Int? = nil) {
            self.bytes = bytes
            self.place = place
            self.end = end ?? bytes.count
        }

        var left: Int { end - place }

        /// The next `size` bytes as a number; nil when they are not there.
        mutating func number(_ size: Int) -> Int? {
            guard left >= size else { return nil }
            var value = 0
            for _ in 0..<size {
                value = value << 8 | Int(bytes[place])
                place += 1
            }
            return value
        }

        mutating func part(_ size: Int) -> Reader? {
            guard left >= size else { return nil }
            defer { place += size }
            return Reader(bytes, from: place, to: place + size)
        }
    }
}
