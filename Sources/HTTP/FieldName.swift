import Bytes

/// The field names that the proxy treats in its own way; every other name is `other`.
public enum FieldName: UInt8, Sendable {
    /// A field that is passed on as it is.
    case other
    /// A known name spelt with underscores, which servers of the CGI kind take for the real one; never passed on.
    case underscored
    case accept
    case authorization
    /// `X-Client-Certificate-` and anything, however it is spelt: only everyhop says what certificate a client has.
    case clientCertificate
    case connection
    case contentLength
    case date
    case expect
    case forwarded
    case host
    case keepAlive
    case proxyAuthenticate
    case proxyAuthorization
    case proxyConnection
    case te
    case trailer
    case transferEncoding
    case upgrade
    case via
    case wwwAuthenticate
    case xForwardedFor
    case xForwardedHost
    case xForwardedPort
    case xForwardedProto
    case xRequestID
    // What a site may have rewritten in responses; spelt with underscores, these are other names.
    case contentLocation
    case contentSecurityPolicy
    case link
    case location
    case refresh
    case setCookie
    case strictTransportSecurity

    /// Finds the name, whatever the case of its letters.
    public init(_ name: Span<UInt8>) {
        self = Self.known(name)
        guard self != .other, ASCII.firstIndex(of: 0x5F, in: name, 0..<name.count) < name.count else { return }
        self = rawValue < Self.contentLocation.rawValue ? .underscored : .other
    }

    /// One bit for each name.
    var bit: UInt64 { 1 << UInt64(rawValue) }

    private static func known(_ name: Span<UInt8>) -> FieldName {
        switch name.count {
        case 2: name.spells("te") ? .te : .other
        case 3: name.spells("via") ? .via : .other
        case 4: name.spells("host") ? .host : name.spells("date") ? .date : name.spells("link") ? .link : .other
        case 6: name.spells("accept") ? .accept : name.spells("expect") ? .expect : .other
        case 7:
            name.spells("trailer")
                ? .trailer : name.spells("upgrade") ? .upgrade : name.spells("refresh") ? .refresh : .other
        case 8: name.spells("location") ? .location : .other
        case 9: name.spells("forwarded") ? .forwarded : .other
        case 10:
            name.spells("connection")
                ? .connection : name.spells("keep-alive") ? .keepAlive : name.spells("set-cookie") ? .setCookie : .other
        case 12: name.spells("x-request-id") ? .xRequestID : .other
        case 13: name.spells("authorization") ? .authorization : .other
        case 14: name.spells("content-length") ? .contentLength : .other
        case 15: name.spells("x-forwarded-for") ? .xForwardedFor : .other
        case 16: sixteenLetters(name)
        case 17:
            name.spells("transfer-encoding")
                ? .transferEncoding : name.spells("x-forwarded-proto") ? .xForwardedProto : .other
        case 18: name.spells("proxy-authenticate") ? .proxyAuthenticate : .other
        case 19: name.spells("proxy-authorization") ? .proxyAuthorization : .other
        case 23: name.spells("content-security-policy") ? .contentSecurityPolicy : .other
        case 25: name.spells("strict-transport-security") ? .strictTransportSecurity : .other
        case 20...: ClientCertificateFields.hasPrefix(name) ? .clientCertificate : .other
        default: .other
        }
    }

    private static func sixteenLetters(_ name: Span<UInt8>) -> FieldName {
        if name.spells("x-forwarded-host") { return .xForwardedHost }
        if name.spells("x-forwarded-port") { return .xForwardedPort }
        if name.spells("www-authenticate") { return .wwwAuthenticate }
        if name.spells("content-location") { return .contentLocation }
        return name.spells("proxy-connection") ? .proxyConnection : .other
    }
}

extension Span where Element == UInt8 {
    /// Most names differ in their first letter.
    @inline(__always)
    fileprivate func spells(_ name: StaticString) -> Bool { ASCII.begins(self, name) && ASCII.spells(self, name) }
}
