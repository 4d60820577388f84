import ACME
import Config
import Foundation
import Testing

@testable import TLS

@Suite("One certificate, step by step") struct IssuanceMachineTests {
    @Test func `from the directory to the certificate`() throws {
        let authority = try ScriptedAuthority()
        guard case .issued(let chain) = try authority.run() else { throw CocoaError(.featureUnsupported) }
        #expect(try CertificateFacts.read(pem: chain).count == 2)
        #expect(
            authority.asked.map { "\($0.method.rawValue) \($0.address.target)" } == [
                "GET /dir", "HEAD /nonce", "POST /account", "POST /order", "POST /authz/1", "POST /challenge",
                "POST /authz/1", "POST /finalize", "POST /order/1", "POST /certificate",
            ]
        )
        let thumbprint = try #require(authority.proofs.first?.keyAuthorization.split(separator: ".").last)
        #expect(authority.proofs.map(\.name) == [ScriptedAuthority.name] && thumbprint.count == 43)
        let messages = try authority.asked.filter { $0.method == .post }.map { try Message($0.body) }
        #expect(messages[0].header["jwk"] != nil && messages[0].header["kid"] == nil)
        for (message, request) in zip(messages, authority.asked.filter { $0.method == .post }) {
            #expect(message.header["alg"] as? String == "ES256")
            #expect(message.header["url"] as? String == request.address.description)
            #expect(try message.isSigned(by: authority.key))
        }
        #expect(messages.dropFirst().allSatisfy { $0.header["kid"] as? String == "https://ca.test/account/1" })
        #expect(Set(messages.compactMap { $0.header["nonce"] as? String }).count == messages.count)
        #expect(messages[0].payload["termsOfServiceAgreed"] as? Bool == true)
        #expect(messages[0].payload["contact"] as? [String] == ["mailto:a@example.org"])
        // POST-as-GET has an empty payload, and a challenge an empty object.
        #expect(messages[2].raw.isEmpty && messages[3].raw == "{}" && messages.last?.raw == "")
        #expect(messages[5].payload["csr"] is String)
    }

    @Test func `a nonce that is refused is replaced by the one that came with the refusal`() throws {
        let authority = try ScriptedAuthority()
        var refusals = 0
        authority.instead["/order"] = { answer in
            refusals += 1
            guard refusals <= 3 else { return answer }
            return Issuance.Answer(status: 400, nonce: answer.nonce, body: Self.problem("badNonce", "old"))
        }
        guard case .issued = try authority.run() else { throw CocoaError(.featureUnsupported) }
        #expect(refusals == 4)
    }

    @Test func `a server that refuses every nonce, or is never done, is not asked for ever`() throws {
        let authority = try ScriptedAuthority()
        authority.answer("/account", String(decoding: Self.problem("badNonce", "old"), as: UTF8.self), status: 400)
        #expect(try authority.failure()?.description.contains("badNonce") == true)
        #expect(authority.asked.count < 50)
        let slow = try ScriptedAuthority()
        slow.answer("/order/1", "{\"status\":\"processing\",\"authorizations\":[],\"finalize\":\"https://ca.test/f\"}")
        {
            $0.retryAfter = .max
        }
        #expect(try slow.failure()?.description == "the authority has not come to an end in time")
        #expect(slow.waited <= 300)
    }

    @Test func `a refusal says when to come again`() throws {
        let authority = try ScriptedAuthority()
        authority.answer(
            "/order",
            String(decoding: Self.problem("rateLimited", "too many"), as: UTF8.self),
            status: 429
        ) {
            $0.retryAfter = 7200
        }
        let failure = try #require(try authority.failure())
        #expect(failure.retryAfter == 7200 && failure.description.contains("the order: rateLimited: too many"))
    }

    @Test func `what proves is not told in a failure, nor is anything that is not text`() throws {
        let authority = try ScriptedAuthority()
        let url = "http://portal.example.org/.well-known/acme-challenge/\(ScriptedAuthority.token)"
        authority.instead["/authz/1"] = { answer in
            var answer = answer
            guard !authority.proofs.isEmpty else { return answer }
            let words =
                "\(url): expected \(authority.proofs[0].keyAuthorization)\\u001b[31m\\n\(String(repeating: "x", count: 9999))"
            answer.body = Array(
                "{\"status\":\"invalid\",\"identifier\":{\"type\":\"dns\",\"value\":\"\(ScriptedAuthority.name)\"},\"challenges\":[{\"type\":\"http-01\",\"error\":{\"detail\":\"\(words)\"}}]}"
                    .utf8
            )
            return answer
        }
        let text = try #require(try authority.failure()).description
        #expect(text.contains("was not proved by http-01") && text.contains("acme-challenge/...: expected ...?[31m?"))
        #expect(text.utf8.count <= 500 && !text.contains(ScriptedAuthority.token))
    }

    @Test(arguments: [
        ("/dir", "not JSON"), ("/dir", "[]"), ("/dir", String(repeating: "[", count: 100_000)),
        ("/dir", #"{"newNonce":"http://ca.test/n","newAccount":"https://ca.test/a","newOrder":"https://ca.test/o"}"#),
        (
            "/dir",
            #"{"newNonce":"https://ca.test/n\r\nX: y","newAccount":"https://ca.test/a","newOrder":"https://ca.test/o"}"#
        ),
        ("/dir", #"{"newNonce":1e999,"newAccount":"https://ca.test/a","newOrder":"https://ca.test/o"}"#),
        ("/order", "{}"),
        ("/order", #"{"status":"pending","authorizations":["file:///etc/passwd"],"finalize":"https://ca.test/f"}"#),
        ("/order", #"{"status":"invalid","authorizations":[],"finalize":"https://ca.test/f"}"#),
        ("/order", #"{"status":"unheard","authorizations":[],"finalize":"https://ca.test/f"}"#),
        ("/authz/1", #"{"status":"pending","identifier":{"type":"dns","value":"other.example.org"},"challenges":[]}"#),
        ("/authz/1", #"{"status":"pending","identifier":{"type":"ip","value":"portal.example.org"},"challenges":[]}"#),
        ("/authz/1", #"{"status":"pending","identifier":{"type":"dns","value":"portal.example.org"},"challenges":[]}"#),
        ("/authz/1", #"{"status":"revoked","identifier":{"type":"dns","value":"portal.example.org"},"challenges":[]}"#),
        ("/finalize", #"{"status":"valid","authorizations":[],"finalize":"https://ca.test/f"}"#),
        (
            "/finalize",
            #"{"status":"valid","authorizations":[],"finalize":"https://ca.test/f","certificate":"http://x"}"#
        ),
        ("/certificate", ""), ("/certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ]) func `an answer that is none ends it`(_ path: String, _ body: String) throws {
        let authority = try ScriptedAuthority()
        authority.instead[path] = { answer in
            var answer = answer
            answer.body = Array(body.utf8)
            return answer
        }
        #expect(try authority.failure() != nil)
        #expect(authority.asked.count <= 10)
    }

    @Test(arguments: [
        "", "short", "../../../../etc/passwd00", "abc def ghi jkl mno pqr", String(repeating: "a", count: 257),
    ])
    func `a token that is none is never shown`(_ token: String) throws {
        let authority = try ScriptedAuthority()
        authority.instead["/authz/1"] = { answer in
            var answer = answer
            answer.body = Array(
                String(decoding: answer.body, as: UTF8.self).replacing(ScriptedAuthority.token, with: token).utf8
            )
            return answer
        }
        #expect(try authority.failure()?.description.contains("cannot be read") == true && authority.proofs.isEmpty)
    }

    @Test func `a thousand authorizations are refused, and so are nonces and places that are none`() throws {
        let many = try ScriptedAuthority()
        let list = (0..<1000).map { "\"https://ca.test/authz/\($0)\"" }.joined(separator: ",")
        many.instead["/order"] = { answer in
            var answer = answer
            answer.body = Array(
                "{\"status\":\"pending\",\"authorizations\":[\(list)],\"finalize\":\"https://ca.test/f\"}".utf8
            )
            return answer
        }
        #expect(try many.failure()?.description == "the order cannot be read")
        let nonce = try ScriptedAuthority()
        nonce.instead["/nonce"] = { _ in Issuance.Answer(status: 200, nonce: "a\r\nb", body: []) }
        #expect(try nonce.failure()?.description == "no nonce: status 200")
        for path in ["/account", "/order"] {
            let placeless = try ScriptedAuthority()
            placeless.instead[path] = { answer in
                var answer = answer
                answer.location = "javascript:alert(1)"
                return answer
            }
            #expect(try placeless.failure() != nil)
        }
    }

    @Test func `a certificate for other names, another time or another key is not taken`() throws {
        #expect(
            try ScriptedAuthority(names: ["other.example.org"]).failure()?.description
                == "the certificate is for other names"
        )
        #expect(
            try ScriptedAuthority(days: 30, validFrom: -60).failure()?.description == "the certificate is not valid now"
        )
        #expect(
            try ScriptedAuthority(days: 30, validFrom: 9).failure()?.description == "the certificate is not valid now"
        )
        let other = try ScriptedAuthority()
        let foreign = try CertificateMaker.issue(names: [ScriptedAuthority.name], by: other.root).certificatePEM
        other.instead["/certificate"] = { _ in Issuance.Answer(status: 200, nonce: "n", body: foreign) }
        #expect(try other.failure()?.description.contains("does not belong") == true)
    }

    @Test func `only the kind of challenge that is configured is tried`() throws {
        let authority = try ScriptedAuthority()
        let settings = try ScriptedAuthority.settings(", challenge = \"tls-alpn-01\"")
        #expect(
            try authority.failure(settings)?.description == "the authority offers no tls-alpn-01 for portal.example.org"
        )
    }

    private static func problem(_ name: String, _ detail: String) -> [UInt8] {
        Array("{\"type\":\"urn:ietf:params:acme:error:\(name)\",\"detail\":\"\(detail)\"}".utf8)
    }
}

/// A signed message, read by others than those who wrote it.
private struct Message {
    let header: [String: Any]
    let payload: [String: Any]
    let raw: String
    private let signed: String
    private let signature: [UInt8]

    init(_ body: [UInt8]) throws {
        let outer = try JSONSerialization.jsonObject(with: Data(body)) as? [String: String] ?? [:]
        let protected = outer["protected"] ?? ""
        let content = outer["payload"] ?? ""
        header = try JSONSerialization.jsonObject(with: Self.bytes(protected)) as? [String: Any] ?? [:]
        raw = String(decoding: Self.bytes(content), as: UTF8.self)
        payload =
            raw.isEmpty ? [:] : try JSONSerialization.jsonObject(with: Self.bytes(content)) as? [String: Any] ?? [:]
        signed = "\(protected).\(content)"
        signature = Array(Self.bytes(outer["signature"] ?? ""))
    }

    private static func bytes(_ text: String) -> Data {
        let padded = text.replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: padded + String(repeating: "=", count: (4 - text.count % 4) % 4)) ?? Data()
    }

    func isSigned(by key: AccountKey) throws -> Bool {
        guard signature.count == 64 else { return false }
        func integer(_ half: ArraySlice<UInt8>) -> [UInt8] {
            let short = half.drop { $0 == 0 }
            let positive = (short.first ?? 0x80) >= 0x80 ? [0] + Array(short) : Array(short)
            return [2, UInt8(positive.count)] + positive
        }
        let both = integer(signature[..<32]) + integer(signature[32...])
        let publicKey = try PublicKey(pem: try SigningKey(pem: try key.pem()).publicPEM)
        return publicKey.verifies([0x30, UInt8(both.count)] + both, of: Array(signed.utf8))
    }
}
