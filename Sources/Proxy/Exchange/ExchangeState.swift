/// The two halves of an exchange: the request and the response proceed independently (RFC 9112 §9.3).
///
/// A value without I/O, clock or closure; each event answers with what the owner does next.
struct ExchangeState: Equatable {
    enum RequestHalf: Equatable {
        /// The head is complete; no server has taken it yet. Next: forwarding, or aborted.
        case awaitingServer
        /// Head sent, which asks for another protocol: what the client sends waits until the server agrees. Next:
        /// forwarding, ended, or aborted.
        case upgrading
        /// Head sent, body on its way, or the other protocol's bytes. Next: ended, or aborted.
        case forwarding
        /// The whole request has been handed on.
        case ended
        /// The request will never be whole.
        case aborted
    }

    enum ResponseHalf: Equatable {
        /// No final head yet (1xx may have passed). Next: forwarding, or failed.
        case awaitingHead
        /// Head sent to the client, body on its way. Next: ended, or failed.
        case forwarding
        /// The whole response has been handed on.
        case ended
        /// The response will never be whole, or is one of our own.
        case failed
    }

    enum Action: Equatable {
        case none
        /// Both sides are done; each says whether its connection may serve another exchange.
        case finish(reuseClient: Bool, reuseServer: Bool)
        /// Nothing has reached the client: answer it ourselves.
        case respond
        /// The client has part of a response: cut it off, so that it is not taken for the whole.
        case cutOff
        /// Try again on another connection: the server can have done nothing.
        case retry
    }

    private(set) var request = RequestHalf.awaitingServer
    private(set) var response = ResponseHalf.awaitingHead
    /// Whether a byte of the body has been handed on, which makes the request unrepeatable.
    private(set) var bodyStarted = false

    /// A verified server has the head now.
    mutating func serverTook(hasBody: Bool, upgrades: Bool = false) {
        switch request {
        case .awaitingServer: request = upgrades ? .upgrading : hasBody ? .forwarding : .ended
        case .upgrading, .forwarding, .ended, .aborted: break
        }
    }

    /// The server has agreed to the other protocol: both directions carry its bytes until each ends.
    mutating func tunnelStarted() {
        guard request == .upgrading, response == .awaitingHead else { return }
        request = .forwarding
        response = .forwarding
        bodyStarted = true
    }

    /// Some of the request's body was handed on.
    mutating func bodyForwarded() { bodyStarted = true }

    /// The whole request was handed on.
    mutating func requestEnded() -> Action {
        switch (request, response) {
        case (.forwarding, .awaitingHead), (.forwarding, .forwarding):
            request = .ended
            return .none
        case (.awaitingServer, _), (.upgrading, _), (.forwarding, _), (.ended, _), (.aborted, _): return .none
        }
    }

    /// The final head of the response was handed on.
    mutating func responseStarted() {
        switch response {
        case .awaitingHead:
            response = .forwarding
            // The server goes on in HTTP.
            if request == .upgrading { request = .ended }
        case .forwarding, .ended, .failed: break
        }
    }

    /// The whole response was handed on.
    ///
    /// A server that answers before it has read the whole request (RFC 9112 §9.5) costs both connections: where the
    /// rest of the body would end is not known to the server, and the client must not start anew in mid-body.
    mutating func responseEnded(reuseClient: Bool, reuseServer: Bool) -> Action {
        switch (response, request) {
        case (.forwarding, .ended):
            response = .ended
            return .finish(reuseClient: reuseClient, reuseServer: reuseServer)
        case (.forwarding, .forwarding), (.forwarding, .upgrading), (.forwarding, .awaitingServer),
            (.forwarding, .aborted):
            response = .ended
            return .finish(reuseClient: false, reuseServer: false)
        case (.awaitingHead, _), (.ended, _), (.failed, _): return .none
        }
    }

    /// The server's side failed.
    ///
    /// - Parameter repeatable: whether the server cannot have acted on the request (RFC 9110 §9.2.2).
    mutating func serverFailed(repeatable: Bool) -> Action {
        switch response {
        case .awaitingHead:
            if repeatable, !bodyStarted, request != .aborted {
                request = .awaitingServer
                return .retry
            }
            response = .failed
            return .respond
        case .forwarding:
            response = .failed
            return .cutOff
        case .ended, .failed: return .none
        }
    }

    /// The client's side failed or went away; nothing more can be told to it.
    mutating func clientFailed() -> Action {
        switch response {
        case .awaitingHead, .forwarding:
            request = .aborted
            response = .failed
            return .finish(reuseClient: false, reuseServer: false)
        case .ended, .failed: return .none
        }
    }

    /// The client broke its own request in mid-body.
    mutating func requestBroken() -> Action {
        switch response {
        case .awaitingHead:
            request = .aborted
            response = .failed
            return .respond
        case .forwarding:
            request = .aborted
            response = .failed
            return .cutOff
        case .ended, .failed: return .none
        }
    }
}
