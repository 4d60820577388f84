import COpenSSL
import Glibc

/// Why a server (or client) is not the one that is trusted.
public enum VerificationFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The certificate's time is over.
    case expired
    /// The certificate's time has not begun.
    case notYetValid
    /// The certificate is for other names.
    case wrongName(expected: String, seen: [String])
    /// No chain leads to a trusted authority.
    case unknownAuthority
    /// The key is not one that is pinned; `seen` is its pin.
    case pinMismatch(seen: String)
    /// The server showed no certificate.
    case noCertificate
    /// Its authority has revoked the certificate.
    case revoked
    /// Whether the certificate is revoked cannot be told, and why.
    case revocationUnknown(String)
    /// Another verdict of X509_verify_cert(3).
    case other(String)

    /// What the log says.
    public var description: String {
        switch self {
        case .expired: "certificate has expired"
        case .notYetValid: "certificate is not yet valid"
        case .wrongName(let expected, let seen):
            "certificate is not for \(expected) (it is for \(Self.list(seen)))"
        case .unknownAuthority: "certificate is not signed by a trusted authority"
        case .pinMismatch(let seen): "pin mismatch: the server's key is \(seen)"
        case .noCertificate: "no certificate"
        case .revoked: "certificate is revoked"
        case .revocationUnknown(let reason): "certificate may be revoked: \(reason)"
        case .other(let text): text
        }
    }

    /// The first few; a server may have thousands, and chooses them itself.
    private static func list(_ names: [String]) -> String {
        let most = 8
        if names.isEmpty { return "no name" }
        let shown = names.prefix(most).joined(separator: ", ")
        return names.count > most ? "\(shown) and \(names.count - most) more" : shown
    }
}

/// A TLS operation that failed for good; would-block is never an error.
public enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer is not the one that is trusted.
    case verification(VerificationFailure)
    /// The peer broke the protocol, or offers nothing that the policy allows.
    case handshake(String)
    /// The first bytes are a plain HTTP request.
    case plaintextRequest
    /// The first bytes are not TLS.
    case notTLS
    /// The connection ended in mid-handshake.
    case closed
    /// The socket failed.
    case socket(CInt)
    /// Nothing is bound to this address.
    case noBinding
    /// The library has no memory, or refused a setting.
    case library(String)

    /// What the log says.
    public var description: String {
        switch self {
        case .verification(let failure): "verification failed: \(failure)"
        case .handshake(let text): text
        case .plaintextRequest: "plain HTTP on a TLS port"
        case .notTLS: "the peer does not speak TLS"
        case .closed: "the peer closed the connection"
        case .socket(let code): String(cString: strerror(code))
        case .noBinding: "no binding for this address"
        case .library(let text): text
        }
    }

    /// Names the oldest waiting error of this thread and empties the queue, so that no other connection is blamed.
    ///
    /// - Parameter socketError: `errno` right after the call that failed; counts when the library has nothing to say.
    static func fromQueue(_ socketError: CInt) -> TLSError {
        let error = ERR_get_error()
        ERR_clear_error()
        guard error != 0 else { return socketError == 0 ? .closed : .socket(socketError) }
        if everyhop_error_library(error) == ERR_LIB_SSL {
            switch CInt(truncatingIfNeeded: everyhop_error_reason(error)) {
            case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: return .plaintextRequest
            case SSL_R_WRONG_VERSION_NUMBER, SSL_R_UNKNOWN_PROTOCOL: return .notTLS
            case SSL_R_UNEXPECTED_EOF_WHILE_READING: return .closed
            default: break
            }
        }
        return .handshake(text(error))
    }

    /// What the library says of an alert that the peer has sent.
    static func text(alert: UInt8) -> String {
        text(UInt(ERR_LIB_SSL) << UInt(ERR_LIB_OFFSET) | UInt(SSL_AD_REASON_OFFSET) + UInt(alert))
    }

    static func libraryFailure(_ what: String) -> TLSError {
        let error = ERR_get_error()
        ERR_clear_error()
        return .library(error == 0 ? what : "\(what): \(text(error))")
    }

    static func text(_ error: UInt) -> String {
        guard let reason = ERR_reason_error_string(error) else { return "error \(error)" }
        return String(cString: reason)
    }
}
