import COpenSSL
import Platform

@testable import TLS

/// A certificate authority of a test.
struct Authority {
    let issued: CertificateMaker.Issued

    init(_ name: String = "Test Root", under parent: Authority? = nil) throws {
        issued = try CertificateMaker.authority(name: name, by: parent?.issued)
    }

    var pem: [UInt8] { issued.certificatePEM }

    /// A server's (or client's) certificate and key; `chain` is sent behind the leaf.
    func identity(
        _ names: [String] = ["app.internal"],
        key: CertificateMaker.KeyKind = .ecdsa,
        validFrom: Int = 0,
        days: Int = 90,
        chain: [Authority] = []
    ) throws -> ServerIdentity {
        let leaf = try CertificateMaker.issue(names: names, by: issued, key: key, validFrom: validFrom, days: days)
        return try ServerIdentity(
            chainPEM: leaf.certificatePEM + chain.flatMap { $0.pem },
            keyPEM: leaf.keyPEM
        )
    }
}

/// One binding, without a name, on one address.
func makeTable(
    _ identities: [ServerIdentity],
    policy: TLSPolicy = .nist80052r2,
    alpn: [String] = [],
    tickets: TicketKeys? = nil,
    tag: Int = 0,
    shakesHands: Bool = true
) throws -> ServerNameTable {
    let table = try ServerNameTable(policy: policy, shakesHands: shakesHands)
    table.add(try makeBinding(identities, policy: policy, alpn: alpn, tickets: tickets, tag: tag), host: nil)
    return table
}

func makeBinding(
    _ identities: [ServerIdentity],
    policy: TLSPolicy = .nist80052r2,
    alpn: [String] = [],
    tickets: TicketKeys? = nil,
    tag: Int = 0,
    clients: ClientVerification? = nil
) throws -> ServerContext {
    try ServerContext(
        identities: identities,
        policy: policy,
        alpn: alpn,
        tickets: try tickets ?? TicketKeys(),
        tag: tag,
        clients: clients
    )
}

/// A client that trusts `authority`, `pins`, or both.
func makeClient(
    _ authority: Authority? = nil,
    pins: [PublicKeyPin] = [],
    name: String? = "app.internal",
    identity: ServerIdentity? = nil,
    policy: TLSPolicy = .nist80052r2,
    alpn: [String] = [],
    version: CInt? = nil
) throws -> ClientContext {
    let context = try ClientContext(
        trust: .init(authoritiesPEM: authority?.pem, pins: pins),
        name: name,
        identity: identity,
        policy: policy,
        alpn: alpn
    )
    if let version { _ = everyhop_ctx_set_versions(context.handle.raw, version, version) }
    return context
}

extension String {
    var bytes: [UInt8] { Array(utf8) }
}
