/// Handshake messages (RFC 8446 §B.3, RFC 5246 §7.4).
enum MessageType {
    static let helloRequest: UInt8 = 0
    static let clientHello: UInt8 = 1
    static let serverHello: UInt8 = 2
    static let newSessionTicket: UInt8 = 4
    static let encryptedExtensions: UInt8 = 8
    static let certificate: UInt8 = 11
    static let serverKeyExchange: UInt8 = 12
    static let serverHelloDone: UInt8 = 14
    static let certificateVerify: UInt8 = 15
    static let clientKeyExchange: UInt8 = 16
    static let finished: UInt8 = 20
    static let certificateStatus: UInt8 = 22
    static let keyUpdate: UInt8 = 24
}

/// What hellos carry besides (RFC 8446 §4.2).
enum ExtensionType {
    static let serverName: UInt16 = 0
    static let maxFragmentLength: UInt16 = 1
    static let statusRequest: UInt16 = 5
    static let supportedGroups: UInt16 = 10
    static let pointFormats: UInt16 = 11
    static let signatureAlgorithms: UInt16 = 13
    static let protocolNegotiation: UInt16 = 16
    static let extendedMasterSecret: UInt16 = 23
    static let sessionTicket: UInt16 = 35
    static let preSharedKey: UInt16 = 41
    static let earlyData: UInt16 = 42
    static let supportedVersions: UInt16 = 43
    static let cookie: UInt16 = 44
    static let keyExchangeModes: UInt16 = 45
    static let certificateAuthorities: UInt16 = 47
    static let postHandshakeAuthentication: UInt16 = 49
    static let certificateSchemes: UInt16 = 50
    static let keyShare: UInt16 = 51
    static let renegotiationInfo: UInt16 = 0xFF01
}
