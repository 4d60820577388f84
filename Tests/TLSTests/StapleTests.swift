import COpenSSL
import Glibc
import Platform
import Support
import Testing

@testable import TLS

@Suite("Answers of authorities") struct StapleTests {
    private let folder: TemporaryFolder
    private let root: OpenSSLAuthority

    init() throws {
        folder = try TemporaryFolder()
        root = try OpenSSLAuthority("root", in: folder)
        try root.issue(
            "portal",
            extensions: """
                subjectAltName=DNS:localhost
                authorityInfoAccess=OCSP;URI:http://ocsp.example.org/a,OCSP;URI:https://ocsp.example.org/b
                tlsfeature=status_request
                """,
            chain: [root]
        )
        try root.issue("other", extensions: "subjectAltName=DNS:other", chain: [root])
        try root.issue("delegate", extensions: "keyUsage=digitalSignature\nextendedKeyUsage=OCSPSigning")
        try root.issue("impostor", extensions: "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth")
    }

    private func read(_ file: String) throws -> [UInt8] { try File.read("\(folder.path)/\(file)") }

    private func subject(_ name: String = "portal") throws -> StapleSubject {
        try StapleSubject(chainPEM: try read("\(name).pem"))
    }

    /// A response as a responder makes it, with any dates.
    private func response(
        _ status: CInt = V_OCSP_CERTSTATUS_GOOD,
        about name: String = "portal",
        by signer: String = "root/ca",
        from: Int = -60,
        until: Int? = 3600
    ) throws -> [UInt8] {
        let issuer = try X509Certificate.read(pem: try File.read(root.certificate))[0]
        let leaf = try X509Certificate.read(pem: try read("\(name).pem"))[0]
        let file = signer == "root/ca" ? "root/ca.pem" : "\(signer).leaf.pem"
        let certificate = try X509Certificate.read(pem: try read(file))[0]
        let key = try PrivateKey(pem: try read("\(signer).key"))
        let answer = OCSP_BASICRESP_new()
        let identifier = OCSP_cert_to_id(EVP_sha1(), leaf.raw, issuer.raw)
        let now = time(nil)
        let first = ASN1_GENERALIZEDTIME_set(nil, now + from)
        let last = until.map { ASN1_GENERALIZEDTIME_set(nil, now + $0) } ?? nil
        OCSP_basic_add1_status(answer, identifier, status, 0, first, first, last)
        OCSP_basic_sign(answer, certificate.raw, key.raw, EVP_sha256(), nil, 0)
        let response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, answer)
        var bytes: UnsafeMutablePointer<UInt8>?
        let length = i2d_OCSP_RESPONSE(response, &bytes)
        defer {
            everyhop_free(bytes)
            OCSP_RESPONSE_free(response)
            OCSP_BASICRESP_free(answer)
            OCSP_CERTID_free(identifier)
            ASN1_GENERALIZEDTIME_free(first)
            ASN1_GENERALIZEDTIME_free(last)
        }
        return UnsafeBufferPointer(start: bytes, count: Int(length)).map { $0 }
    }

    @Test func `a certificate tells where it can be asked about, and what it demands`() throws {
        let portal = try subject()
        #expect(portal.addresses == ["http://ocsp.example.org/a", "https://ocsp.example.org/b"])
        #expect(portal.mustStaple && portal.hasIssuer && portal.request()?.isEmpty == false)
        let other = try subject("other")
        #expect(other.addresses.isEmpty && !other.mustStaple)
        let alone = try StapleSubject(chainPEM: try read("portal.leaf.pem"))
        #expect(!alone.hasIssuer && alone.request() == nil)
        #expect(throws: StapleFailure.untrusted) { try alone.read(try response()) }
    }

    @Test func `an answer of the issuer, or of whom it lets sign, holds`() throws {
        let now = Int64(time(nil))
        let good = try subject().read(try response())
        #expect(good.status == .good && abs(good.thisUpdate - now + 60) < 5 && abs(good.nextUpdate - now - 3600) < 5)
        #expect(try subject().read(try response(V_OCSP_CERTSTATUS_REVOKED)).status == .revoked)
        #expect(try subject().read(try response(by: "delegate")).status == .good)
    }

    @Test func `what the program answers holds`() throws {
        try root.answer("answer.der", about: "portal.leaf.pem", "-ndays", "1")
        let staple = try subject().read(try read("answer.der"))
        #expect(staple.status == .good && staple.nextUpdate == staple.thisUpdate + 86_400)
        try root.revoke("portal.leaf.pem")
        try root.answer("answer.der", about: "portal.leaf.pem", "-ndays", "1")
        #expect(try subject().read(try read("answer.der")).status == .revoked)
    }

    @Test func `any other is refused`() throws {
        let portal = try subject()
        let good = try response()
        // The last time in it, a hundred years later: GeneralizedTime, 15 bytes.
        var forged = good
        let time = try #require(forged.indices.dropLast(16).last { forged[$0] == 24 && forged[$0 + 1] == 15 })
        forged[time + 3] += 1
        let stranger = try OpenSSLAuthority("stranger", in: folder)
        try stranger.issue("delegate-of-stranger", extensions: "extendedKeyUsage=OCSPSigning")
        let cases: [([UInt8], StapleFailure)] = [
            ([], .malformed), (Array("<html>".utf8), .malformed), (good + [0], .malformed),
            (Array(good.dropLast()), .malformed), ([0x30, 0x03, 0x0A, 0x01, 0x03], .refused("trylater")),
            ([0x30, 0x03, 0x0A, 0x01, 0x06], .refused("unauthorized")), (forged, .untrusted),
            (try response(by: "impostor"), .untrusted), (try response(by: "delegate-of-stranger"), .untrusted),
            (try response(by: "portal"), .untrusted), (try response(about: "other"), .otherCertificate),
            (try response(V_OCSP_CERTSTATUS_UNKNOWN), .unknown),
            (try response(from: -7200, until: -3600), .notCurrent),
            (try response(from: 3600, until: 7200), .notCurrent),
            (try response(until: nil), .endless),
        ]
        for (bytes, failure) in cases { #expect(throws: failure) { try portal.read(bytes) } }
    }

    @Test func `one that has run out is not shown`() {
        let now = Int64(time(nil))
        let staples = Staples()
        let staple = Staple(response: [1], status: .good, thisUpdate: now - 10, nextUpdate: now + 60)
        staples["a"] = staple
        staples["b"] = Staple(response: [1], status: .good, thisUpdate: now - 10, nextUpdate: now)
        #expect(staples.current("a") == staple && staples.current("b") == nil && staples.current("c") == nil)
        staples["a"] = nil
        #expect(staples.current("a") == nil)
    }
}
