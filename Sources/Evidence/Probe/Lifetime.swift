internal import Platform
internal import TLS

/// How long a certificate still lasts, judged by how long it was made for.
struct Lifetime {
    /// Seconds until it expires; negative afterwards.
    let left: Int64
    private let notBefore: Int64
    private let notAfter: Int64

    init(_ certificate: CertificateFacts, now: Int64) {
        notBefore = certificate.notBefore
        notAfter = certificate.notAfter
        left = certificate.notAfter - now
    }

    var isExpired: Bool { left < 0 }
    var isYetToCome: Bool { left > notAfter - notBefore }
    /// Two weeks, or a third of its life when that is less: certificates of a few days are renewed every few days.
    var isEnding: Bool { left < min(14 * 86_400, (notAfter - notBefore) / 3) }

    /// Whole days.
    var days: Int64 { left / 86_400 }

    /// For people.
    var text: String {
        if isExpired { return "expired \(-days) days ago" }
        return isYetToCome ? "is not valid yet" : "expires in \(days) days"
    }

    static var now: Int64 { Int64(Clock.unixMicroseconds() / 1_000_000) }
}
