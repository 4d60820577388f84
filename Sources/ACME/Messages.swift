internal import FoundationEssentials

/// What an authority says (RFC 8555 §7.1), as far as it is needed; every size is bounded before anything is believed.
enum Message {
    /// More authorizations or challenges than these are no answer to what was asked.
    static let mostParts = 200

    struct Directory: Decodable {
        let newNonce: String
        let newAccount: String
        let newOrder: String
    }

    enum Status: String, Decodable {
        case pending, ready, processing, valid, invalid, deactivated, expired, revoked
    }

    struct Order: Decodable {
        let status: Status
        let authorizations: [String]
        let finalize: String
        let certificate: String?
        let error: Problem?
    }

    struct Authorization: Decodable {
        struct Identifier: Decodable {
            let type: String
            let value: String
        }

        let identifier: Identifier
        let status: Status
        let challenges: [Challenge]
    }

    struct Challenge: Decodable {
        let type: String
        let url: String?
        let status: Status?
        let token: String?
        let error: Problem?
    }

    /// RFC 7807.
    struct Problem: Decodable {
        struct Part: Decodable {
            let type: String?
            let detail: String?
        }

        let type: String?
        let detail: String?
        let subproblems: [Part]?

        /// The last part of an ACME error's name, such as `rateLimited`.
        var name: String? {
            let prefix = "urn:ietf:params:acme:error:"
            guard let type, type.hasPrefix(prefix) else { return nil }
            return String(type.dropFirst(prefix.utf8.count))
        }

        var text: String {
            let parts = [detail ?? type ?? "no reason given"] + (subproblems ?? []).prefix(5).compactMap(\.detail)
            return parts.joined(separator: "; ")
        }
    }

    static func read<Value: Decodable>(_: Value.Type, _ body: [UInt8]) -> Value? {
        try? JSONDecoder().decode(Value.self, from: Data(body))
    }

    /// What we say; strings, flags and lists of them only, which JSON can always say.
    static func write(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { Array($0) } ?? []
    }

    struct NewAccount: Encodable {
        let termsOfServiceAgreed = true
        let contact: [String]?
        let externalAccountBinding: SignedMessage?

        private enum CodingKeys: CodingKey { case termsOfServiceAgreed, contact, externalAccountBinding }
    }

    struct NewOrder: Encodable {
        struct Identifier: Encodable {
            let type = "dns"
            let value: String

            private enum CodingKeys: CodingKey { case type, value }
        }

        let identifiers: [Identifier]
    }

    struct Finalization: Encodable {
        let csr: String
    }
}
