/// PostgreSQL's messages before queries (protocol chapter, "Message Formats").
enum PostgresMessage {
    static let sslRequestCode = 80_877_103
    static let gssRequestCode = 80_877_104
    static let cancelRequestCode = 80_877_102
    /// The server takes no longer startup message either.
    static let longestStartup = 10_000
    /// Authentication messages are far shorter; NOTICE and ERROR may carry some text.
    static let longestMessage = 65_536

    static let sslRequest: [UInt8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]

    /// ErrorResponse: severity FATAL, SQLSTATE, text and hint.
    static func fatal(_ state: StaticString, _ text: String, hint: String = "") -> [UInt8] {
        var body: [UInt8] = []
        func field(_ type: Character, _ text: String) {
            body.append(type.asciiValue ?? 0)
            body += text.utf8.filter { $0 != 0 }
            body.append(0)
        }
        field("S", "FATAL")
        field("V", "FATAL")
        field("C", state.description)
        field("M", text)
        if !hint.isEmpty { field("H", hint) }
        body.append(0)
        return message(0x45, body)
    }

    static func message(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
        var message = [type]
        message.appendBigEndian(body.count + 4, count: 4)
        return message + body
    }

    /// The value of a parameter of a startup message, after its length and code.
    static func parameter(_ name: String, in startup: [UInt8]) -> [UInt8]? {
        var reader = MessageReader(startup, from: 8)
        while let key = try? reader.zeroTerminated(), !key.isEmpty, let value = try? reader.zeroTerminated() {
            if key.elementsEqual(name.utf8) { return value }
        }
        return nil
    }

    /// AuthenticationSASL without the mechanisms that bind to a TLS channel, which ends at everyhop; nil when none is
    /// left, or the message breaks its form.
    static func withoutChannelBinding(_ message: [UInt8]) -> [UInt8]? {
        var reader = MessageReader(message, from: 9)
        var kept: [UInt8] = []
        while true {
            guard let mechanism = try? reader.zeroTerminated() else { return nil }
            if mechanism.isEmpty { break }
            if mechanism.suffix(5).elementsEqual("-PLUS".utf8) { continue }
            kept += mechanism + [0]
        }
        guard !kept.isEmpty, reader.remaining == 0 else { return nil }
        return Self.message(0x52, [0, 0, 0, 10] + kept + [0])
    }
}
