import COpenSSL
import Glibc

/// What an authority says of a certificate (RFC 6960 §2.2); that it knows nothing is no answer.
public enum RevocationStatus: String, Sendable, CaseIterable {
    /// It is not revoked.
    case good
    /// It is.
    case revoked
}

/// An answer of an authority about a certificate that has been verified: what a server staples to a handshake.
public struct Staple: Equatable, Sendable {
    /// The OCSP response, in DER.
    public let response: [UInt8]
    /// What it says.
    public let status: RevocationStatus
    /// Valid from, in seconds since 1970.
    public let thisUpdate: Int64
    /// Until when it may be shown, in seconds since 1970.
    public let nextUpdate: Int64

    /// Names all of it; whoever does has verified the response, or has it from somebody who did.
    public init(response: [UInt8], status: RevocationStatus, thisUpdate: Int64, nextUpdate: Int64) {
        self.response = response
        self.status = status
        self.thisUpdate = thisUpdate
        self.nextUpdate = nextUpdate
    }
}

/// The staples of all certificates of a process.
///
/// They come and go while the contexts that show them stay; contexts hold this.
public final class Staples {
    private var list: [String: Staple] = [:]

    /// None yet.
    public init() {}

    /// The staple of the certificate with this fingerprint; nil for none any more.
    public subscript(_ fingerprint: String) -> Staple? {
        get { list[fingerprint] }
        set { list[fingerprint] = newValue }
    }

    /// Those that may be shown now.
    func current(_ fingerprint: String) -> Staple? {
        guard let staple = list[fingerprint], staple.nextUpdate > Int64(time(nil)) else { return nil }
        return staple
    }
}

/// Why an answer about a certificate cannot be stapled.
public enum StapleFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// It is no OCSP response.
    case malformed
    /// The responder gives no answer (RFC 6960 §4.2.1), and the word for why.
    case refused(String)
    /// Neither the certificate's issuer has signed it, nor somebody who may.
    case untrusted
    /// It is about other certificates, or made by other means.
    case otherCertificate
    /// The responder does not know the certificate.
    case unknown
    /// It is from tomorrow, or was good until yesterday.
    case notCurrent
    /// It does not say until when it is good.
    case endless

    /// What the log says.
    public var description: String {
        switch self {
        case .malformed: "not an OCSP response"
        case .refused(let word): "the responder answers \(word)"
        case .untrusted: "the answer is not signed by the certificate's issuer, nor by somebody whom it lets sign"
        case .otherCertificate: "the answer is about another certificate"
        case .unknown: "the responder does not know the certificate"
        case .notCurrent: "the answer is not of now: it has run out, or a clock is wrong"
        case .endless: "the answer does not say until when it is good"
        }
    }
}

/// A certificate about which authorities are asked.
public final class StapleSubject {
    /// The longest response that is read, in bytes.
    public static let responseLimit = 65_536
    /// How far clocks may differ, in seconds.
    private static let skew = 300

    /// What the certificate says.
    public let facts: CertificateFacts
    /// Where the certificate says that it can be asked about.
    public let addresses: [String]
    /// Whether the certificate says that servers staple (RFC 7633).
    public let mustStaple: Bool
    private let leaf: X509Certificate
    private let issuer: X509Certificate?

    /// Whether the chain holds the issuer, without which no answer can be verified.
    public var hasIssuer: Bool { issuer != nil }

    /// Reads a chain as PEM, the server's certificate first.
    public init(chainPEM: [UInt8]) throws(CertificateError) {
        let chain = try X509Certificate.read(pem: chainPEM)
        leaf = chain[0]
        facts = try leaf.facts()
        issuer = chain.dropFirst().first { X509_check_issued($0.raw, chain[0].raw) == X509_V_OK }
        var list: [String] = []
        withUnsafeMutablePointer(to: &list) { target in
            everyhop_ocsp_addresses(chain[0].raw, target) { owner, address in
                guard let owner, let address else { return }
                owner.assumingMemoryBound(to: [String].self).pointee.append(String(cString: address))
            }
        }
        addresses = list
        mustStaple = everyhop_must_staple(chain[0].raw) == 1
        everyhop_forget_errors()
    }

    /// What to ask a responder; nil without an issuer.
    public func request() -> [UInt8]? {
        guard let issuer else { return nil }
        var bytes: UnsafeMutablePointer<UInt8>?
        let length = everyhop_ocsp_request(leaf.raw, issuer.raw, &bytes)
        guard length > 0, let bytes else {
            ERR_clear_error()
            return nil
        }
        defer { everyhop_free(bytes) }
        return UnsafeBufferPointer(start: bytes, count: Int(length)).map { $0 }
    }

    /// Verifies a response: who has signed it, which certificate it is about, and when.
    public func read(_ response: [UInt8]) throws(StapleFailure) -> Staple {
        defer { ERR_clear_error() }
        guard let issuer else { throw .untrusted }
        let answer = try Self.answer(response)
        defer { OCSP_BASICRESP_free(answer) }
        guard everyhop_ocsp_is_signed(answer, issuer.raw) == 1 else { throw .untrusted }
        var from: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        var until: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        let status: RevocationStatus
        switch everyhop_ocsp_status(answer, leaf.raw, issuer.raw, &from, &until) {
        case V_OCSP_CERTSTATUS_GOOD: status = .good
        case V_OCSP_CERTSTATUS_REVOKED: status = .revoked
        case V_OCSP_CERTSTATUS_UNKNOWN: throw .unknown
        default: throw .otherCertificate
        }
        guard let until else { throw .endless }
        guard OCSP_check_validity(from, until, Self.skew, -1) == 1 else { throw .notCurrent }
        return Staple(
            response: response,
            status: status,
            thisUpdate: X509Certificate.seconds(from),
            nextUpdate: X509Certificate.seconds(until)
        )
    }

    private static func answer(_ response: [UInt8]) throws(StapleFailure) -> OpaquePointer {
        guard response.count <= responseLimit else { throw .malformed }
        var used = 0
        let decoded = response.withUnsafeBufferPointer { buffer in
            var next = buffer.baseAddress
            let decoded = d2i_OCSP_RESPONSE(nil, &next, buffer.count)
            if let start = buffer.baseAddress, let next { used = next - start }
            return decoded
        }
        guard let decoded else { throw .malformed }
        defer { OCSP_RESPONSE_free(decoded) }
        guard used == response.count else { throw .malformed }
        let status = OCSP_response_status(decoded)
        guard status == OCSP_RESPONSE_STATUS_SUCCESSFUL else {
            throw .refused(String(cString: OCSP_response_status_str(Int(status))))
        }
        guard let answer = OCSP_response_get1_basic(decoded) else { throw .malformed }
        return answer
    }
}
