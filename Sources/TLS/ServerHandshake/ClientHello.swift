/// What a client begins with (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), as far as it is plain.
///
/// Plain is what nearly every client of today sends. Whatever else one may send, wrong or only rare, is for the library to
/// answer, or to refuse with the right alert; nothing is refused here.
package struct ClientHello {
    /// The message, with its head.
    let message: [UInt8]
    private(set) var random = 0..<0
    private(set) var sessionID = 0..<0
    /// Two bytes each.
    private(set) var suites = 0..<0
    /// The host name that is asked for (RFC 6066 §3).
    private(set) var serverName: Range<Int>?
    /// Names, each behind its length (RFC 7301 §3.1).
    private(set) var protocols: Range<Int>?
    /// Two bytes each.
    private(set) var signatureSchemes: Range<Int>?
    /// Two bytes each.
    private(set) var groups: Range<Int>?
    /// The client's X25519 key.
    private(set) var key: Range<Int>?
    private(set) var versions: Range<Int>?
    /// Whether it takes TLS 1.3.
    private(set) var isModern = false
    /// Whether it asks for what the authority says of the certificate (RFC 6066 §8).
    private(set) var asksForStaple = false
    private var hasExchangeModes = false
    /// Whether sessions may be resumed with a fresh key (psk_dhe_ke).
    private(set) var resumesWithKey = false
    /// Sessions that are offered (RFC 8446 §4.2.11), and the proofs of them.
    private(set) var offers: Offers?
    /// A ticket of TLS 1.2, or none yet but room for one (RFC 5077 §3.2).
    private(set) var ticket: Range<Int>?
    /// RFC 7627.
    private(set) var hasExtendedMasterSecret = false
    /// Whether it says how it writes points (RFC 8422 §5.1.2).
    private(set) var hasPointFormats = false
    /// Whether it knows of RFC 5746, by its extension or by a suite.
    private(set) var renegotiatesSafely = false

    /// Sessions and binders, each a vector of vectors.
    struct Offers {
        let identities: Range<Int>
        let binders: Range<Int>
        /// Bytes of the message that binders are about.
        let boundCount: Int
        /// Whether each session has its binder.
        let isPaired: Bool
    }

    /// TLS 1.2, which in TLS 1.3 only looks so.
    static let version: UInt16 = 0x0303
    static let modernVersion: UInt16 = 0x0304
    private static let randomSize = 32
    private static let longestSessionID = 32
    static let x25519: UInt16 = 0x001D
    static let p256: UInt16 = 0x0017
    /// Two suites that are none: renegotiation is safe (RFC 5746 §3.3), and a second try with an older version (RFC 7507).
    private static let renegotiationSuite: UInt16 = 0x00FF
    private static let fallbackSuite: UInt16 = 0x5600

    /// - Parameter message: whole, with its head.
    /// - Returns: nil for one that is not plain.
    package init?(_ message: [UInt8]) {
        self.message = message
        var reader = MessageReader(message)
        guard reader.byte() == MessageType.clientHello, let length = reader.length(), length == message.count - 4,
            reader.short() == Self.version,
            let random = reader.take(Self.randomSize),
            let sessionID = reader.shortVector(), sessionID.count <= Self.longestSessionID,
            let suites = reader.vector(), suites.count >= 2, suites.count % 2 == 0,
            let compression = reader.shortVector(), compression.count == 1, message[compression.lowerBound] == 0,
            let extensions = reader.wholeVector()
        else { return nil }
        (self.random, self.sessionID, self.suites) = (random, sessionID, suites)
        if has(Self.fallbackSuite, in: suites) { return nil }
        renegotiatesSafely = has(Self.renegotiationSuite, in: suites)
        // RFC 8446 §4.2.9: sessions are not offered without a word about how.
        guard takeExtensions(extensions), offers == nil || hasExchangeModes else { return nil }
    }

    private mutating func takeExtensions(_ range: Range<Int>) -> Bool {
        var reader = MessageReader(message, in: range)
        var seen: UInt64 = 0
        var hasRenegotiation = false
        while !reader.isAtEnd {
            // Nothing follows what offers sessions (RFC 8446 §4.2.11).
            guard offers == nil, let type = reader.short(), let content = reader.vector() else { return false }
            if type < 64 {
                guard seen & 1 << type == 0 else { return false }
                seen |= 1 << type
            } else if type == ExtensionType.renegotiationInfo {
                guard !hasRenegotiation else { return false }
                hasRenegotiation = true
            }
            guard take(type, content) else { return false }
        }
        return true
    }

    private mutating func take(_ type: UInt16, _ content: Range<Int>) -> Bool {
        var reader = MessageReader(message, in: content)
        switch type {
        case ExtensionType.serverName: return takeServerName(&reader)
        case ExtensionType.statusRequest: return takeStatusRequest(&reader)
        case ExtensionType.supportedGroups:
            groups = reader.wholeVector()
            return isList(groups)
        case ExtensionType.signatureAlgorithms:
            signatureSchemes = reader.wholeVector()
            return isList(signatureSchemes)
        case ExtensionType.protocolNegotiation:
            protocols = reader.wholeVector()
            return hasNames(protocols)
        case ExtensionType.supportedVersions:
            versions = reader.shortVector()
            guard reader.isAtEnd, isList(versions) else { return false }
            isModern = has(Self.modernVersion, in: versions)
            return true
        case ExtensionType.keyShare: return takeKeys(&reader)
        case ExtensionType.keyExchangeModes:
            guard let modes = reader.shortVector(), reader.isAtEnd, !modes.isEmpty else { return false }
            hasExchangeModes = true
            resumesWithKey = message[modes].contains(1)
            return true
        case ExtensionType.preSharedKey: return takeOffers(&reader)
        case ExtensionType.sessionTicket:
            ticket = content
            return true
        case ExtensionType.extendedMasterSecret:
            hasExtendedMasterSecret = true
            return content.isEmpty
        case ExtensionType.renegotiationInfo:
            renegotiatesSafely = true
            // No handshake went before.
            return content.count == 1 && message[content.lowerBound] == 0
        case ExtensionType.pointFormats:
            guard let formats = reader.shortVector(), reader.isAtEnd else { return false }
            hasPointFormats = true
            return message[formats].contains(0)
        case ExtensionType.postHandshakeAuthentication: return content.isEmpty
        case ExtensionType.maxFragmentLength, ExtensionType.earlyData, ExtensionType.cookie,
            ExtensionType.certificateAuthorities, ExtensionType.certificateSchemes:
            return false
        default: return true
        }
    }

    /// One name, which is a host's.
    private mutating func takeServerName(_ reader: inout MessageReader) -> Bool {
        guard let list = reader.wholeVector() else { return false }
        var reader = MessageReader(message, in: list)
        guard reader.byte() == 0, let name = reader.wholeVector(), 1...255 ~= name.count,
            !message[name].contains(0)
        else { return false }
        serverName = name
        return true
    }

    /// OCSP, whoever answers and in whatever way.
    private mutating func takeStatusRequest(_ reader: inout MessageReader) -> Bool {
        guard reader.byte() == 1, let responders = reader.vector(), responders.isEmpty, reader.wholeVector() != nil
        else {
            return false
        }
        asksForStaple = true
        return true
    }

    private mutating func takeKeys(_ reader: inout MessageReader) -> Bool {
        guard let list = reader.wholeVector() else { return false }
        var reader = MessageReader(message, in: list)
        while !reader.isAtEnd {
            guard let group = reader.short(), let key = reader.vector(), !key.isEmpty else { return false }
            guard group == Self.x25519 else { continue }
            guard self.key == nil, key.count == Curve25519.size else { return false }
            self.key = key
        }
        return true
    }

    private mutating func takeOffers(_ reader: inout MessageReader) -> Bool {
        guard let identities = reader.vector(), !identities.isEmpty else { return false }
        let boundCount = reader.position
        guard let binders = reader.wholeVector() else { return false }
        offers = Offers(
            identities: identities,
            binders: binders,
            boundCount: boundCount,
            isPaired: isPaired(identities, binders)
        )
        return true
    }

    /// Whether each session has its binder.
    private func isPaired(_ identities: Range<Int>, _ binders: Range<Int>) -> Bool {
        var identities = MessageReader(message, in: identities)
        var binders = MessageReader(message, in: binders)
        while !identities.isAtEnd {
            guard let identity = identities.vector(), !identity.isEmpty, identities.take(4) != nil,
                let binder = binders.shortVector(), binder.count >= 32
            else { return false }
        }
        return binders.isAtEnd
    }

    /// Whether a range is there, and holds whole numbers of two bytes.
    private func isList(_ range: Range<Int>?) -> Bool {
        guard let range else { return false }
        return range.count >= 2 && range.count % 2 == 0
    }

    private func hasNames(_ range: Range<Int>?) -> Bool {
        guard let range, !range.isEmpty else { return false }
        var reader = MessageReader(message, in: range)
        while !reader.isAtEnd {
            guard let name = reader.shortVector(), !name.isEmpty else { return false }
        }
        return true
    }

    // MARK: questions

    /// Whether all that was found lies within the message; for the fuzzer.
    package var isInside: Bool {
        [
            random, sessionID, suites, serverName, protocols, signatureSchemes, groups, key, versions, ticket,
            offers?.identities, offers?.binders,
        ].allSatisfy { range in range.map { $0.upperBound <= message.count } ?? true }
    }

    /// Whether a number of two bytes is in a list of such.
    func has(_ number: UInt16, in list: Range<Int>?) -> Bool {
        guard let list else { return false }
        var reader = MessageReader(message, in: list)
        while let next = reader.short() {
            if next == number { return true }
        }
        return false
    }

    /// Whether a protocol is offered.
    func offers(_ name: [UInt8]) -> Bool {
        guard let protocols else { return false }
        var reader = MessageReader(message, in: protocols)
        while let offered = reader.shortVector() {
            if message[offered].elementsEqual(name) { return true }
        }
        return false
    }
}
