/// Why a request is not understood; it is answered and the connection closed, never passed on.
public enum RequestError: Error, Equatable, Sendable {
    /// A line feed without a carriage return (RFC 9112 §2.2).
    case bareLineFeed
    /// The request line alone is longer than a head may be.
    case targetTooLong
    /// The head is longer than the configuration allows.
    case headTooLong
    /// Not `method SP target SP version`.
    case malformedRequestLine
    /// A version other than HTTP/1.0 and HTTP/1.1.
    case unsupportedVersion
    /// The target is in none of the four forms, or holds bytes that a target cannot have (RFC 9112 §3.2).
    case invalidTarget
    /// CONNECT would make a tunnel past the proxy.
    case connectRefused
    /// A line that starts with white space (RFC 9112 §5.2).
    case obsoleteFolding
    /// A field line without a name or colon, or with bytes that a name cannot have (RFC 9112 §5.1).
    case invalidFieldName
    /// White space between name and colon (RFC 9112 §5.1).
    case spaceBeforeColon
    /// A control byte in a value (RFC 9110 §5.5).
    case invalidFieldValue
    /// More lines than a message may have.
    case tooManyFields
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    case missingHost
    /// More than one Host.
    case severalHosts
    /// A Host that is no host.
    case invalidHost
    /// An absolute target names another host than Host.
    case hostMismatch
    /// Content-Length that is not one number (RFC 9110 §8.6).
    case invalidContentLength
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.3).
    case lengthAndEncoding
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    case encodingInOldVersion
    /// A transfer coding other than a single `chunked` (RFC 9112 §6.1).
    case unsupportedEncoding
    /// A field that speaks of an HTTP/1.1 connection, in HTTP/2 (RFC 9113 §8.2.2).
    case connectionField
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    case unknownExpectation

    /// The status that answers it.
    public var status: Int {
        switch self {
        case .targetTooLong: 414
        case .headTooLong, .tooManyFields: 431
        case .unsupportedVersion: 505
        case .connectRefused, .unsupportedEncoding: 501
        case .unknownExpectation: 417
        case .bareLineFeed, .malformedRequestLine, .invalidTarget, .obsoleteFolding, .invalidFieldName,
            .spaceBeforeColon, .invalidFieldValue, .missingHost, .severalHosts, .invalidHost, .hostMismatch,
            .invalidContentLength, .lengthAndEncoding, .encodingInOldVersion, .connectionField:
            400
        }
    }

    init(_ failure: FieldFailure) {
        switch failure {
        case .obsoleteFolding: self = .obsoleteFolding
        case .noColon, .emptyName, .invalidName: self = .invalidFieldName
        case .spaceBeforeColon: self = .spaceBeforeColon
        case .invalidValue: self = .invalidFieldValue
        case .tooMany: self = .tooManyFields
        }
    }

    /// What the log says.
    public var reason: StaticString {
        switch self {
        case .bareLineFeed: "a line feed without a carriage return"
        case .targetTooLong: "the request line is too long"
        case .headTooLong: "the head is too long"
        case .malformedRequestLine: "a malformed request line"
        case .unsupportedVersion: "an unsupported HTTP version"
        case .invalidTarget: "an invalid request target"
        case .connectRefused: "CONNECT is not served"
        case .obsoleteFolding: "a folded field line"
        case .invalidFieldName: "an invalid field name"
        case .spaceBeforeColon: "white space before a colon"
        case .invalidFieldValue: "an invalid byte in a field value"
        case .tooManyFields: "too many field lines"
        case .missingHost: "no Host field"
        case .severalHosts: "several Host fields"
        case .invalidHost: "an invalid Host field"
        case .hostMismatch: "the target's host is not the Host field's"
        case .invalidContentLength: "an invalid or repeated Content-Length"
        case .lengthAndEncoding: "both Content-Length and Transfer-Encoding"
        case .encodingInOldVersion: "Transfer-Encoding in HTTP/1.0"
        case .unsupportedEncoding: "an unsupported transfer coding"
        case .connectionField: "a field of an HTTP/1.1 connection in HTTP/2"
        case .unknownExpectation: "an unknown expectation"
        }
    }
}
