public import Config
public import TLS

/// One certificate from an authority (RFC 8555): a value that says what is to be done next, and is told what came of it.
///
/// Directory, nonce, account, order; for each name its authorization and the challenge of the configured kind; then the
/// request for the certificate, and the certificate.
public struct Issuance {
    /// What is asked of the authority's server.
    public struct Request: Sendable {
        /// How it is asked.
        public enum Method: String, Sendable {
            /// Reading what needs no account.
            case get = "GET"
            /// Asking for a nonce.
            case head = "HEAD"
            /// Everything else.
            case post = "POST"
        }

        /// How it is asked.
        public let method: Method
        /// What is asked.
        public let address: WebAddress
        /// What the answer may be.
        public let accepts: String
        /// A signed message; empty without one.
        public let body: [UInt8]
    }

    /// What the authority's server has answered.
    public struct Answer: Sendable {
        /// The status.
        public var status: Int
        /// `Replay-Nonce`.
        public var nonce: String?
        /// `Location`.
        public var location: String?
        /// `Retry-After`, in seconds from now.
        public var retryAfter: UInt64?
        /// The body.
        public var body: [UInt8]

        /// An answer.
        public init(
            status: Int,
            nonce: String? = nil,
            location: String? = nil,
            retryAfter: UInt64? = nil,
            body: [UInt8]
        ) {
            self.status = status
            self.nonce = nonce
            self.location = location
            self.retryAfter = retryAfter
            self.body = body
        }
    }

    /// What is to be shown to the authority while it looks.
    public struct Proof: Equatable, Sendable {
        /// How it looks.
        public let challenge: ACMESettings.Challenge
        /// Whom it looks for.
        public let name: String
        /// What it asks for.
        public let token: String
        /// What it is to be answered (RFC 8555 §8.1).
        public let keyAuthorization: String
    }

    /// What is to be done next.
    public enum Step {
        /// Ask, and call `received`.
        case ask(Request)
        /// Have this shown to whoever asks for it, and call `shown`.
        case show(Proof)
        /// Let so many seconds pass, and call `waited`.
        case wait(UInt64)
        /// The certificates as PEM, the first one being for our key and names.
        case issued([UInt8])
        /// It has come to nothing.
        case failed(IssuanceFailure)
    }

    private enum Stage {
        case directory
        case account
        case order
        case authorization(Int)
        case challenge(Int, url: WebAddress)
        case validation(Int)
        case finalization
        case processing
        case certificate(WebAddress)
    }

    /// So many nonces may be refused; a server that refuses more refuses everything.
    private static let mostNonces = 20
    /// So long an authority may think about it, in seconds.
    private static let patience: UInt64 = 300
    /// So many requests make no certificate.
    private static let mostRequests = 2000

    private let directoryAddress: WebAddress
    private let names: [String]
    private let challenge: ACMESettings.Challenge
    private let settings: AccountSettings
    private let key: AccountKey
    private let request: String
    private let certificateKey: [UInt8]

    private var stage = Stage.directory
    private var nonce: String?
    /// Whether the answer that is waited for brings only a nonce.
    private var asksForNonce = false
    private var refusedNonces = 0
    private var requests = 0
    private var waited: UInt64 = 0
    private var polls: UInt64 = 0
    private var newNonce: WebAddress?
    private var newAccount: WebAddress?
    private var newOrder: WebAddress?
    private var account: String?
    private var order: WebAddress?
    private var finalize: WebAddress?
    private var authorizations: [WebAddress] = []
    private var proof: Proof?

    /// - Parameters:
    ///   - key: the account's.
    ///   - csr: the request for the certificate, as PEM, and its key.
    public init(
        _ settings: ACMESettings,
        account: AccountSettings,
        key: AccountKey,
        csr: CertificateMaker.Issued
    ) {
        directoryAddress = settings.directory.value
        names = settings.names.map(\.value.description)
        challenge = settings.challenge
        self.settings = account
        self.key = key
        request = Base64URL.body(ofPEM: csr.certificatePEM)
        certificateKey = csr.keyPEM
    }

    /// What is to be done first.
    public mutating func begin() -> Step { go(to: .directory) }

    /// What was asked for has been shown to everybody who may be asked for it.
    public mutating func shown() -> Step {
        guard case .challenge = stage else { return fail("nothing was to be shown") }
        return ask()
    }

    /// The time has passed.
    public mutating func passed() -> Step { ask() }

    /// The authority's server has answered.
    ///
    /// - Parameter now: the time, in seconds since 1970.
    public mutating func received(_ answer: Answer, now: Int64) -> Step {
        if let fresh = answer.nonce, Self.isNonce(fresh) { nonce = fresh }
        if asksForNonce {
            asksForNonce = false
            guard (200..<300).contains(answer.status), nonce != nil else {
                return fail("no nonce: status \(answer.status)", answer.retryAfter)
            }
            return ask()
        }
        guard (200..<300).contains(answer.status) else { return refused(answer) }
        switch stage {
        case .directory: return take(directory: answer)
        case .account:
            guard let location = answer.location, WebAddress(location) != nil else {
                return fail("the account has no address")
            }
            account = location
            return go(to: .order)
        case .order: return take(order: answer)
        case .authorization(let index): return take(authorization: answer, index)
        case .challenge(let index, _): return wait(answer, then: .validation(index))
        case .validation(let index): return take(validation: answer, index)
        case .finalization, .processing: return take(finalized: answer)
        case .certificate: return take(certificate: answer, now)
        }
    }

    // MARK: asking

    private mutating func go(to stage: Stage) -> Step {
        self.stage = stage
        polls = 0
        return ask()
    }

    /// Asks for what the stage is about.
    private mutating func ask() -> Step {
        requests += 1
        guard requests <= Self.mostRequests else { return fail("the authority has been asked too often") }
        let question: (address: WebAddress?, payload: [UInt8])
        switch stage {
        case .directory:
            return .ask(Request(method: .get, address: directoryAddress, accepts: "application/json", body: []))
        case .account: question = (newAccount, accountPayload())
        case .order:
            let identifiers = names.map { Message.NewOrder.Identifier(value: $0) }
            question = (newOrder, Message.write(Message.NewOrder(identifiers: identifiers)))
        case .authorization(let index), .validation(let index): question = (authorizations[index], [])
        case .challenge(_, let url): question = (url, Array("{}".utf8))
        case .finalization: question = (finalize, Message.write(Message.Finalization(csr: request)))
        case .processing: question = (order, [])
        case .certificate(let address): question = (address, [])
        }
        guard let address = question.address, let newNonce else { return fail("the authority has no such address") }
        guard let nonce else {
            asksForNonce = true
            return .ask(Request(method: .head, address: newNonce, accepts: "*/*", body: []))
        }
        self.nonce = nil
        let accepts = if case .certificate = stage { "application/pem-certificate-chain" } else { "application/json" }
        do throws(CertificateError) {
            let message = try SignedMessage(
                question.payload,
                to: address.description,
                nonce: nonce,
                by: key,
                as: account.map { .account($0) } ?? .key
            )
            return .ask(Request(method: .post, address: address, accepts: accepts, body: message.encoded()))
        } catch { return fail("\(error)") }
    }

    private func accountPayload() -> [UInt8] {
        let binding = settings.external.flatMap { external in
            newAccount.flatMap { SignedMessage(binding: key, to: external, url: $0.description) }
        }
        return Message.write(
            Message.NewAccount(contact: settings.email.map { ["mailto:\($0)"] }, externalAccountBinding: binding)
        )
    }

    /// Lets time pass before the stage is asked about: as long as the authority says, or a little longer each time.
    private mutating func wait(_ answer: Answer, then stage: Stage) -> Step {
        self.stage = stage
        polls += 1
        let seconds = min(max(answer.retryAfter ?? min(polls, 10), 1), 60)
        waited += seconds
        guard waited <= Self.patience else { return fail("the authority has not come to an end in time") }
        return .wait(seconds)
    }

    // MARK: answers

    private mutating func refused(_ answer: Answer) -> Step {
        let problem = Message.read(Message.Problem.self, answer.body)
        if problem?.name == "badNonce", refusedNonces < Self.mostNonces {
            refusedNonces += 1
            return ask()
        }
        let reason = problem.map { "\($0.name.map { "\($0): " } ?? "")\($0.text)" } ?? "status \(answer.status)"
        return fail("the authority refuses \(subject): \(reason)", answer.retryAfter)
    }

    private mutating func take(directory answer: Answer) -> Step {
        guard let directory = Message.read(Message.Directory.self, answer.body),
            let nonces = WebAddress(directory.newNonce), let accounts = WebAddress(directory.newAccount),
            let orders = WebAddress(directory.newOrder)
        else { return fail("the directory is none of RFC 8555") }
        newNonce = nonces
        newAccount = accounts
        newOrder = orders
        return go(to: .account)
    }

    private mutating func take(order answer: Answer) -> Step {
        guard let order = Message.read(Message.Order.self, answer.body),
            let place = answer.location.flatMap({ WebAddress($0) }),
            let finalize = WebAddress(order.finalize), order.authorizations.count <= Message.mostParts
        else { return fail("the order cannot be read") }
        let addresses = order.authorizations.compactMap { WebAddress($0) }
        guard addresses.count == order.authorizations.count else { return fail("the order cannot be read") }
        self.order = place
        self.finalize = finalize
        authorizations = addresses
        switch order.status {
        case .pending: return addresses.isEmpty ? go(to: .finalization) : go(to: .authorization(0))
        case .ready: return go(to: .finalization)
        case .processing, .valid: return go(to: .processing)
        case .invalid, .deactivated, .expired, .revoked:
            return fail(order.error, "the order is \(order.status.rawValue)")
        }
    }

    private mutating func take(authorization answer: Answer, _ index: Int) -> Step {
        guard let authorization = Message.read(Message.Authorization.self, answer.body),
            authorization.challenges.count <= Message.mostParts
        else { return fail("an authorization cannot be read") }
        let name = authorization.identifier.value.lowercased()
        guard authorization.identifier.type == "dns", names.contains(name) else {
            return fail("an authorization is for a name that was not asked for")
        }
        switch authorization.status {
        case .valid: return next(after: index)
        case .pending: break
        case .ready, .processing, .invalid, .deactivated, .expired, .revoked:
            return fail("the authorization of \(name) is \(authorization.status.rawValue)")
        }
        guard let offered = authorization.challenges.first(where: { $0.type == challenge.rawValue }) else {
            return fail("the authority offers no \(challenge.rawValue) for \(name)")
        }
        guard let token = offered.token, Base64URL.isToken(token), let url = offered.url.flatMap({ WebAddress($0) })
        else {
            return fail("the challenge for \(name) cannot be read")
        }
        let proof = Proof(
            challenge: challenge,
            name: name,
            token: token,
            keyAuthorization: "\(token).\(SignedMessage.PublicKey(key).thumbprint)"
        )
        self.proof = proof
        stage = .challenge(index, url: url)
        polls = 0
        return .show(proof)
    }

    private mutating func take(validation answer: Answer, _ index: Int) -> Step {
        guard let authorization = Message.read(Message.Authorization.self, answer.body) else {
            return fail("an authorization cannot be read")
        }
        switch authorization.status {
        case .valid: return next(after: index)
        case .pending, .processing: return wait(answer, then: .validation(index))
        case .ready, .invalid, .deactivated, .expired, .revoked:
            let tried = authorization.challenges.first { $0.type == challenge.rawValue }
            return fail(tried?.error, "\(proof?.name ?? "") was not proved by \(challenge.rawValue)")
        }
    }

    private mutating func next(after index: Int) -> Step {
        index + 1 < authorizations.count ? go(to: .authorization(index + 1)) : go(to: .finalization)
    }

    private mutating func take(finalized answer: Answer) -> Step {
        guard let order = Message.read(Message.Order.self, answer.body) else { return fail("the order cannot be read") }
        switch order.status {
        case .valid:
            guard let address = order.certificate.flatMap({ WebAddress($0) }) else {
                return fail("the order has no certificate")
            }
            return go(to: .certificate(address))
        case .processing, .ready, .pending: return wait(answer, then: .processing)
        case .invalid, .deactivated, .expired, .revoked:
            return fail(order.error, "the order is \(order.status.rawValue)")
        }
    }

    /// Takes only what can be served: our key, our names, now.
    private func take(certificate answer: Answer, _ now: Int64) -> Step {
        let chain = CertificateFile.certificates(in: answer.body)
        do throws(CertificateError) {
            let facts = try ServerIdentity(chainPEM: chain, keyPEM: certificateKey).facts
            guard names.allSatisfy({ facts.covers($0) }) else { return fail("the certificate is for other names") }
            guard facts.notBefore <= now, facts.notAfter > now else { return fail("the certificate is not valid now") }
            return .issued(chain)
        } catch { return fail("the certificate cannot be used: \(error)") }
    }

    // MARK: failing

    private func fail(_ problem: Message.Problem?, _ what: String) -> Step {
        fail(what + (problem.map { ": \($0.text)" } ?? ""))
    }

    private func fail(_ text: String, _ retryAfter: UInt64? = nil) -> Step {
        let secrets = [proof?.keyAuthorization, proof?.token].compactMap { $0 }
        return .failed(IssuanceFailure(text, hiding: secrets, retryAfter: retryAfter))
    }

    /// What is being asked for, in words.
    private var subject: String {
        switch stage {
        case .directory: "the directory"
        case .account: "the account"
        case .order: "the order"
        case .authorization, .validation: "an authorization"
        case .challenge: "the challenge"
        case .finalization, .processing: "the certificate's request"
        case .certificate: "the certificate"
        }
    }

    private static func isNonce(_ text: String) -> Bool {
        (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { Base64URL.contains($0) }
    }
}
