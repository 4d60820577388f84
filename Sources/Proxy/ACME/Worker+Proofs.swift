import Bytes
import Config
import HTTP
import TLS

/// The proofs that a worker shows (RFC 8555 §8.3, RFC 8737).
struct ShownProofs {
    /// The path that http-01 asks for, up to the token.
    static let path: StaticString = "/.well-known/acme-challenge/"

    private struct Answer {
        let name: String
        let token: String
        let answer: LocalAnswer
    }

    private var answers: [Answer] = []
    /// By name: what tls-alpn-01 is shown.
    private(set) var contexts: [String: ServerContext] = [:]

    init() {}

    init(_ table: ProofTable) throws {
        for entry in table.entries {
            switch entry.challenge {
            case .http01:
                let answer = LocalAnswer(
                    status: 200,
                    contentType: Array("application/octet-stream".utf8),
                    body: entry.answer,
                    location: nil
                )
                answers.append(Answer(name: entry.name, token: entry.token, answer: answer))
            case .tlsALPN01:
                contexts[entry.name] = try ServerContext(
                    identities: [ServerIdentity(chainPEM: entry.certificate, keyPEM: entry.key)],
                    policy: .nist80052r2,
                    alpn: [ServerNameTable.challengeProtocol],
                    tickets: TicketKeys(),
                    // No binding's: whoever came for a proof is served nothing else.
                    tag: -1
                )
            }
        }
    }

    /// Whether a path is one that http-01 asks for.
    static func isAskedFor(_ path: Span<UInt8>) -> Bool {
        let count = Self.path.utf8CodeUnitCount
        return path.count >= count && ASCII.equal(path.extracting(0..<count), Self.path)
    }

    /// What a request for a proof is answered; nil for one that there is none for.
    func answer(to request: borrowing RequestHead) -> LocalAnswer? {
        guard request.method == .get, Self.isAskedFor(request.path) else { return nil }
        let token = request.path.extracting(Self.path.utf8CodeUnitCount..<request.path.count)
        let host = request.hostName
        return answers.first { answer in
            Self.isEqual(token, answer.token) && Self.isEqual(host, answer.name, ignoringCase: true)
        }?.answer
    }

    private static func isEqual(_ bytes: Span<UInt8>, _ text: String, ignoringCase: Bool = false) -> Bool {
        guard bytes.count == text.utf8.count else { return false }
        for (index, byte) in text.utf8.enumerated() {
            guard (ignoringCase ? ASCII.lowercase(bytes[index]) : bytes[index]) == byte else { return false }
        }
        return true
    }
}

extension Worker {
    /// Takes up what the master wants to be shown, and says so.
    func show(proofs payload: [UInt8]) {
        guard let table = try? ProofTable(decoding: payload), let next = try? ShownProofs(table) else {
            log.unexpectedMessage(ControlKind.proofs.rawValue)
            return
        }
        proofs = next
        snapshot.show(next.contexts)
        var writer = WireWriter()
        writer.put(table.version)
        tell(.proofsShown, writer.bytes)
    }

    /// Whether a request on a plain listener is for a proof, in a configuration that has any to show.
    func isForProof(_ request: borrowing RequestHead) -> Bool {
        snapshot.answersProofs && ShownProofs.isAskedFor(request.path)
    }
}
