/// A server's whole answer to a login or a batch, read token by token (MS-TDS 2.2.7).
struct TDSAnswer {
    /// What makes bytes no answer.
    struct Failure: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    private enum Token {
        static let returnStatus: UInt8 = 0x79
        static let columns: UInt8 = 0x81
        static let tableName: UInt8 = 0xA4
        static let columnInfo: UInt8 = 0xA5
        static let order: UInt8 = 0xA9
        static let error: UInt8 = 0xAA
        static let info: UInt8 = 0xAB
        static let loginAck: UInt8 = 0xAD
        static let featureExtAck: UInt8 = 0xAE
        static let row: UInt8 = 0xD1
        static let sparseRow: UInt8 = 0xD2
        static let envChange: UInt8 = 0xE3
        static let sessionState: UInt8 = 0xE4
        static let sspi: UInt8 = 0xED
        static let done: ClosedRange<UInt8> = 0xFD...0xFF
    }

    /// The first error; the texts of those that follow it are added to its own.
    private(set) var error: ServerError?
    /// Sets of rows, in order.
    private(set) var results: [SQLResult] = []
    /// What LOGINACK tells; nil without one.
    private(set) var version: UInt8?
    /// The longest packet from now on, when it changes.
    private(set) var packetSize: Int?
    /// Where the client is told to connect instead.
    private(set) var route: String?
    private var columns: [TDSColumn] = []
    private var rowCount = 0

    init(_ payload: [UInt8]) throws(Failure) {
        var failure: Failure?
        do throws(MessageReader.Truncated) {
            var reader = MessageReader(payload)
            while reader.remaining > 0, failure == nil { failure = try read(try reader.byte(), &reader) }
        } catch { failure = Failure("an answer that is cut off") }
        if let failure { throw failure }
    }

    /// - Returns: what is wrong with the token, beyond its being cut off.
    private mutating func read(
        _ token: UInt8,
        _ reader: inout MessageReader
    ) throws(MessageReader.Truncated) -> Failure? {
        switch token {
        case Token.error: try readError(&reader)
        case Token.info, Token.order, Token.tableName, Token.columnInfo, Token.sspi:
            try reader.skip(try reader.littleEndian(2))
        case Token.sessionState: try reader.skip(try reader.littleEndian(4))
        case Token.featureExtAck:
            while try reader.byte() != 0xFF { try reader.skip(try reader.littleEndian(4)) }
        case Token.returnStatus: try reader.skip(4)
        case Token.loginAck:
            var acknowledgement = MessageReader(try reader.bytes(try reader.littleEndian(2)))
            try acknowledgement.skip(1)
            version = try acknowledgement.byte()
        case Token.done:
            // An older server that refuses has not said how old it is.
            try reader.skip(reader.remaining == 8 ? 8 : 12)
        case Token.envChange:
            var change = MessageReader(try reader.bytes(try reader.littleEndian(2)))
            try readChange(&change)
        case Token.columns: return try readColumns(&reader)
        case Token.row, Token.sparseRow: return try readRow(&reader, isSparse: token == Token.sparseRow)
        default: return Failure("a token that is not known: 0x\(String(token, radix: 16))")
        }
        return nil
    }

    private mutating func readError(_ reader: inout MessageReader) throws(MessageReader.Truncated) {
        var body = MessageReader(try reader.bytes(try reader.littleEndian(2)))
        let number = Int32(truncatingIfNeeded: try body.littleEndian(4))
        try body.skip(2)
        let text = UTF16LE.text(try body.bytes(try body.littleEndian(2) * 2), limit: 512)
        if let first = error {
            error?.message = PeerText.readable(Array("\(first.message) \(text)".utf8), limit: 1024)
        } else {
            error = ServerError(code: String(number), message: text)
        }
    }

    private mutating func readChange(_ reader: inout MessageReader) throws(MessageReader.Truncated) {
        switch try reader.byte() {
        case 4:
            let text = UTF16LE.text(try reader.bytes(Int(try reader.byte()) * 2))
            guard text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return }
            let size = text.utf8.reduce(0) { $0 * 10 + Int($1 - 0x30) }
            if (512...32_767).contains(size) { packetSize = size }
        case 20:
            try reader.skip(3)
            let port = try reader.littleEndian(2)
            route = "\(UTF16LE.text(try reader.bytes(try reader.littleEndian(2) * 2))):\(port)"
        default: return
        }
    }

    // MARK: rows

    private mutating func readColumns(_ reader: inout MessageReader) throws(MessageReader.Truncated) -> Failure? {
        let count = try reader.littleEndian(2)
        columns = []
        // No metadata: what follows has none of its own.
        if count == 0xFFFF { return nil }
        guard count <= DatabaseClient.mostColumns else { return Failure("more columns than were asked for") }
        for _ in 0..<count {
            try reader.skip(6)
            guard let type = try TDSColumn.Form(&reader) else {
                return Failure("a column of a type that is not read here")
            }
            let name = UTF16LE.text(try reader.bytes(Int(try reader.byte()) * 2))
            columns.append(TDSColumn(name: name, form: type))
        }
        results.append(SQLResult(columns: columns.map(\.name)))
        return nil
    }

    private mutating func readRow(
        _ reader: inout MessageReader,
        isSparse: Bool
    ) throws(MessageReader.Truncated) -> Failure? {
        guard !columns.isEmpty, let last = results.indices.last else { return Failure("a row without columns") }
        rowCount += 1
        guard rowCount <= DatabaseClient.mostRows else { return Failure("more than \(DatabaseClient.mostRows) rows") }
        let nulls = isSparse ? try reader.bytes((columns.count + 7) / 8) : []
        var row: [String?] = []
        row.reserveCapacity(columns.count)
        for (index, column) in columns.enumerated() {
            if isSparse, nulls[index / 8] >> (index % 8) & 1 == 1 {
                row.append(nil)
                continue
            }
            switch try column.form.read(&reader) {
            case .null: row.append(nil)
            case .text(let text): row.append(text)
            case .malformed: return Failure("a value that is not of its column's type")
            }
        }
        results[last].rows.append(row)
        return nil
    }
}

/// A column as COLMETADATA describes it (MS-TDS 2.2.5.4), as far as types are read here.
struct TDSColumn {
    let name: String
    let form: Form

    /// How its values are written.
    struct Form {
        private enum Kind {
            case integer
            case bit
            case float
            case utf16
            case bytes
            case binary
        }

        private enum Length {
            case fixed(Int)
            case byte(most: Int)
            case short(most: Int)
        }

        private let kind: Kind
        private let length: Length

        enum Value {
            case null
            case text(String)
            case malformed
        }

        /// Reads TYPE_INFO; nil for a type that is not read here.
        init?(_ reader: inout MessageReader) throws(MessageReader.Truncated) {
            let type = try reader.byte()
            switch type {
            case 0x30: (kind, length) = (.integer, .fixed(1))
            case 0x32: (kind, length) = (.bit, .fixed(1))
            case 0x34: (kind, length) = (.integer, .fixed(2))
            case 0x38: (kind, length) = (.integer, .fixed(4))
            case 0x7F: (kind, length) = (.integer, .fixed(8))
            case 0x3B: (kind, length) = (.float, .fixed(4))
            case 0x3E: (kind, length) = (.float, .fixed(8))
            case 0x26: (kind, length) = (.integer, .byte(most: Int(try reader.byte())))
            case 0x68: (kind, length) = (.bit, .byte(most: Int(try reader.byte())))
            case 0x6D: (kind, length) = (.float, .byte(most: Int(try reader.byte())))
            case 0xA5, 0xAD, 0xA7, 0xAF, 0xE7, 0xEF:
                let most = try reader.littleEndian(2)
                // 0xFFFF: of any length, in pieces. Nothing that is asked for here is.
                guard most <= 8000 else { return nil }
                length = .short(most: most)
                switch type {
                case 0xA5, 0xAD: kind = .binary
                case 0xA7, 0xAF: kind = .bytes
                default: kind = .utf16
                }
                // The collation.
                if type != 0xA5, type != 0xAD { try reader.skip(5) }
            default: return nil
            }
        }

        func read(_ reader: inout MessageReader) throws(MessageReader.Truncated) -> Value {
            let count: Int
            switch length {
            case .fixed(let size): count = size
            case .byte(let most):
                count = Int(try reader.byte())
                if count == 0 { return .null }
                guard count <= most else { return .malformed }
            case .short(let most):
                count = try reader.littleEndian(2)
                if count == 0xFFFF { return .null }
                guard count <= most else { return .malformed }
            }
            return value(try reader.bytes(count))
        }

        private func value(_ bytes: [UInt8]) -> Value {
            switch kind {
            case .integer: return integer(bytes)
            case .bit: return bytes.count == 1 ? .text(bytes[0] == 0 ? "0" : "1") : .malformed
            case .float:
                let bits = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                switch bytes.count {
                case 4: return .text("\(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))")
                case 8: return .text("\(Double(bitPattern: bits))")
                default: return .malformed
                }
            case .utf16: return bytes.count % 2 == 0 ? .text(UTF16LE.whole(bytes)) : .malformed
            case .bytes: return .text(String(decoding: bytes, as: UTF8.self))
            case .binary:
                let digits = bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }
                return .text("0x" + digits.joined())
            }
        }

        /// tinyint has no sign, the others have one.
        private func integer(_ bytes: [UInt8]) -> Value {
            let bits = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            switch bytes.count {
            case 1: return .text(String(bits))
            case 2: return .text(String(Int16(truncatingIfNeeded: bits)))
            case 4: return .text(String(Int32(truncatingIfNeeded: bits)))
            case 8: return .text(String(Int64(truncatingIfNeeded: bits)))
            default: return .malformed
            }
        }
    }
}
