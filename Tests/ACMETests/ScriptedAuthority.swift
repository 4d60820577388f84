import ACME
import Config
import Foundation

@testable import TLS

/// An authority that answers as RFC 8555 says, but where a test says otherwise.
final class ScriptedAuthority {
    static let name = "portal.example.org"
    static let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
    let root: CertificateMaker.Issued
    /// What is answered in place of the usual, by the path.
    var instead: [String: (Issuance.Answer) -> Issuance.Answer] = [:]
    private(set) var asked: [Issuance.Request] = []
    private(set) var proofs: [Issuance.Proof] = []
    private(set) var waited: UInt64 = 0
    private var nonces = 0
    let key: AccountKey
    let csr: CertificateMaker.Issued
    private let certificate: [UInt8]

    init(names: [String] = [ScriptedAuthority.name], days: Int = 90, validFrom: Int = 0) throws {
        root = try CertificateMaker.authority(name: "scripted")
        key = try AccountKey.make()
        // Of one key: the scripted authority makes it, as the library cannot sign requests of others.
        let made = try CertificateMaker.issue(names: names, by: root, validFrom: validFrom, days: days)
        csr = CertificateMaker.Issued(
            certificatePEM: try CertificateMaker.request(names: names).certificatePEM,
            keyPEM: made.keyPEM
        )
        certificate = made.certificatePEM + root.certificatePEM
    }

    static func settings(_ more: String = "") throws -> ACMESettings {
        let text = """
            [server]
            state = "s"
            [certificate.c]
            acme = { directory = "https://ca.test/dir", names = ["\(name)"], terms_agreed = true \(more) }
            [[site]]
            name = "s"
            upstream = "a"
            redirect = ["127.0.0.1:80"]
            [[site.binding]]
            certificate = "c"
            [[upstream]]
            name = "a"
            servers = ["127.0.0.1:1"]
            plaintext = true
            """
        let decoded = Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
        return decoded.configuration.issuedCertificates[0].settings
    }

    /// Runs to the end.
    func run(_ settings: ACMESettings? = nil) throws -> Issuance.Step {
        var issuance = Issuance(
            try settings ?? Self.settings(),
            account: AccountSettings(email: "a@example.org", external: nil),
            key: key,
            csr: csr
        )
        var step = issuance.begin()
        for _ in 0..<5000 {
            switch step {
            case .ask(let request): step = issuance.received(answer(request), now: Int64(Date().timeIntervalSince1970))
            case .show(let proof):
                proofs.append(proof)
                step = issuance.shown()
            case .wait(let seconds):
                waited += seconds
                step = issuance.passed()
            case .issued, .failed: return step
            }
        }
        throw CocoaError(.featureUnsupported)
    }

    /// Why it fails.
    func failure(_ settings: ACMESettings? = nil) throws -> IssuanceFailure? {
        guard case .failed(let failure) = try run(settings) else { return nil }
        return failure
    }

    func answer(
        _ path: String,
        _ body: String,
        status: Int = 200,
        headers: (inout Issuance.Answer) -> Void = { _ in }
    ) {
        var answer = Issuance.Answer(status: status, nonce: "again", body: Array(body.utf8))
        headers(&answer)
        let fixed = answer
        instead[path] = { _ in fixed }
    }

    private func answer(_ request: Issuance.Request) -> Issuance.Answer {
        asked.append(request)
        nonces += 1
        var answer = Issuance.Answer(
            status: 200,
            nonce: "nonce\(nonces)",
            body: Array(body(request.address.target).utf8)
        )
        switch request.address.target {
        case "/dir": answer.nonce = nil
        case "/account": answer.location = "https://ca.test/account/1"
        case "/order": answer.location = "https://ca.test/order/1"
        default: break
        }
        return instead[request.address.target]?(answer) ?? answer
    }

    private func body(_ path: String) -> String {
        let order =
            "\"identifiers\":[{\"type\":\"dns\",\"value\":\"\(Self.name)\"}],\"authorizations\":[\"https://ca.test/authz/1\"],\"finalize\":\"https://ca.test/finalize\""
        let isProved = asked.contains { $0.address.target == "/challenge" }
        switch path {
        case "/dir":
            return
                "{\"newNonce\":\"https://ca.test/nonce\",\"newAccount\":\"https://ca.test/account\",\"newOrder\":\"https://ca.test/order\",\"meta\":{}}"
        case "/account": return "{\"status\":\"valid\"}"
        case "/order": return "{\"status\":\"pending\",\(order)}"
        case "/authz/1":
            let status = isProved ? "valid" : "pending"
            return
                "{\"status\":\"\(status)\",\"identifier\":{\"type\":\"dns\",\"value\":\"\(Self.name)\"},\"challenges\":[{\"type\":\"dns-01\",\"url\":\"https://ca.test/dns\",\"token\":\"x\",\"status\":\"pending\"},{\"type\":\"http-01\",\"url\":\"https://ca.test/challenge\",\"token\":\"\(Self.token)\",\"status\":\"pending\"}]}"
        case "/challenge":
            return "{\"type\":\"http-01\",\"url\":\"https://ca.test/challenge\",\"status\":\"processing\"}"
        case "/finalize": return "{\"status\":\"processing\",\(order)}"
        case "/order/1": return "{\"status\":\"valid\",\"certificate\":\"https://ca.test/certificate\",\(order)}"
        case "/certificate": return String(decoding: certificate, as: UTF8.self)
        default: return "{}"
        }
    }
}
