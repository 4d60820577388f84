import Bytes

/// The field names that the proxy treats in its own way; every other name is `other`.
public enum FieldName: UInt8, Sendable {
    /// A field that is passed on as it is.
    case other
    /// A known name spelt with underscores, which servers of the CGI kind take for the real one; never passed on.
    case underscored
    case accept
    case authorization
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

    /// Finds the name, whatever the case of its letters.
    public init(_ name: Span<UInt8>) {
        self = Self.known(name)
        guard self != .other else { return }
        for index in name.indices where name[index] == 0x5F {
            self = .underscored
            return
        }
    }

    private static func known(_ name: Span<UInt8>) -> FieldName {
        switch name.count {
        case 2: name.spells("te") ? .te : .other
        case 3: name.spells("via") ? .via : .other
        case 4: name.spells("host") ? .host : name.spells("date") ? .date : .other
        case 6: name.spells("accept") ? .accept : name.spells("expect") ? .expect : .other
        case 7: name.spells("trailer") ? .trailer : name.spells("upgrade") ? .upgrade : .other
        case 9: name.spells("forwarded") ? .forwarded : .other
        case 10: name.spells("connection") ? .connection : name.spells("keep-alive") ? .keepAlive : .other
        case 12: name.spells("x-request-id") ? .xRequestID : .other
        case 13: name.spells("authorization") ? .authorization : .other
        case 14: name.spells("content-length") ? .contentLength : .other
        case 15: name.spells("x-forwarded-for") ? .xForwardedFor : .other
        case 16: name.spells("www-authenticate") ? .wwwAuthenticate : forwardedPart(name)
        case 17:
            name.spells("transfer-encoding")
                ? .transferEncoding : name.spells("x-forwarded-proto") ? .xForwardedProto : .other
        case 18: name.spells("proxy-authenticate") ? .proxyAuthenticate : .other
        case 19: name.spells("proxy-authorization") ? .proxyAuthorization : .other
        default: .other
        }
    }

    private static func forwardedPart(_ name: Span<UInt8>) -> FieldName {
        if name.spells("x-forwarded-host") { return .xForwardedHost }
        if name.spells("x-forwarded-port") { return .xForwardedPort }
        return name.spells("proxy-connection") ? .proxyConnection : .other
    }
}

extension Span where Element == UInt8 {
    fileprivate func spells(_ name: StaticString) -> Bool { ASCII.spells(self, name) }
}
