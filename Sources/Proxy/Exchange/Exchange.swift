import Bytes
import Config
import HTTP
import Platform
import TLS
import Telemetry

/// One request and its response: joins the client's side and the server's, whatever version each speaks.
///
/// *Ownership:* the worker owns it through its slab; both sides know it by token. It is used again for later requests,
/// so that its memory is allocated once.
final class Exchange {
    let token: Token
    /// The request's head, filled by the client's session.
    var request = RequestHead()
    /// The response's head, filled by the server's session.
    var response = ResponseHead()

    private(set) var asked = AskedRequest()
    var state = ExchangeState()
    private(set) var client: ClientPlace?
    /// Who asks, once the head is complete.
    private var identity: ClientIdentity?
    /// The server's connection that was authenticated for the client.
    var boundServer: Token?
    var server: ServerStream?
    private(set) var route: Route?
    /// Whose request it is, as far as it came.
    var site: Int?
    /// What answers the request in a server's place.
    var answer: LocalAnswer?
    /// The folder that answers in a server's place.
    var files = FileSide()
    /// When the client may ask again, in seconds, where it has asked too often.
    private(set) var retryAfter: UInt64?
    /// The largest body of the request, in bytes.
    private var bodyLimit = UInt64.max
    /// Which of the pool's servers have been tried, one bit each.
    var tried: UInt64 = 0
    var attempts = 0
    /// How often a server sent the request back untouched.
    var refusals = 0
    static let mostRefusals = 3
    /// Until when it waits for a connection, once it had to, in monotonic milliseconds.
    var waitsUntil: UInt64 = 0
    private(set) var requestID = RequestID()
    /// What the request was sent on with.
    private var forwarding: ForwardingContext?
    /// The field line that makes the client stay at its server; empty when it will, or need not.
    private(set) var cookie: [UInt8] = []
    /// A pooled connection turned out to be dead: do not try a second one.
    private(set) var wantsFreshConnection = false
    /// What went wrong, for the log.
    var failure: String?
    /// The status that the client saw.
    var status = 0
    var times = ExchangeTimes()
    private var bodyBytes: UInt64 = 0
    var bytesFromClient: UInt64 = 0
    var bytesToClient: UInt64 = 0
    /// What the server's connection was like, kept for the log when the connection has gone back to its pool.
    private(set) var serverFacts = ServerFacts()

    private static let tooLarge = "the request's body is larger than the configuration allows"

    init(token: Token) { self.token = token }

    /// Whether the server authenticates the connection: it is this client's then, for as long as both last.
    private(set) var isBound = false
    /// Whether only a connection in HTTP/1.1 will do: for another protocol, or for authentication.
    var needsHTTP1 = false
    /// Whether both sides speak another protocol now.
    private(set) var isTunnel = false

    // MARK: what the client's side says

    /// Starts with a complete head.
    func begin(from client: ClientPlace, _ identity: ClientIdentity, _ worker: Worker) {
        self.client = client
        requestID = worker.nextRequestID()
        self.identity = identity
        times.headComplete = worker.nowMicroseconds
        worker.metrics.add(.requests)
        switch decide(on: request, from: identity, worker) {
        case .upstream(let route): forward(to: route, worker)
        case .folder(let folder): serve(folder, worker)
        case .answer(let answer, let site):
            self.site = site
            self.answer = answer
            respond(answer.status, because: nil, worker)
        case .denied(let status, let reason, let site, let retryAfter):
            self.site = site
            self.retryAfter = retryAfter
            respond(status, because: reason, worker)
        case .misdirected: respond(421, because: "the host is not served on this connection", worker)
        }
    }

    private func decide(
        on head: borrowing RequestHead,
        from identity: ClientIdentity,
        _ worker: Worker
    ) -> Snapshot.Decision {
        asked = AskedRequest(head)
        return worker.decide(on: head, from: identity)
    }

    /// Makes it a request like any other: what it wants to change to is not allowed here.
    func ignoreUpgrade() {
        request.ignoreUpgrade()
        asked.upgrades = false
    }

    private func forward(to route: Route, _ worker: Worker) {
        self.route = route
        site = route.site
        bodyLimit = worker.snapshot.limits(of: route).bodyBytes
        guard isAffordable(worker) else { return }
        if case .length(let length) = asked.framing, length > bodyLimit {
            respond(413, because: Self.tooLarge, worker)
            return
        }
        if asked.upgrades, !worker.snapshot.allowsUpgrade(of: request, site: route.site) {
            guard asked.majorVersion == 1 else {
                respond(501, because: "the site does not allow WebSocket", worker)
                return
            }
            ignoreUpgrade()
        }
        if asked.authenticates {
            guard asked.majorVersion == 1 else {
                demandHTTP1(worker)
                return
            }
            isBound = true
        }
        needsHTTP1 = isBound || asked.upgrades
        worker.metrics.add(.requests, upstream: route.pool)
        seekServer(worker)
    }

    /// Refuses a request that cannot be understood; it has no route and no server.
    func refuse(_ status: Int, _ reason: String, from client: ClientPlace, _ worker: Worker) {
        self.client = client
        requestID = worker.nextRequestID()
        respond(status, because: reason, worker)
    }

    /// Answers a request on a plain listener: with its https address, or what proves who is served here.
    func answer(_ status: Int, on client: ClientConnection, _ worker: Worker, _ write: () -> Void) {
        self.client = ClientPlace(connection: client.token)
        requestID = worker.nextRequestID()
        times.headComplete = worker.nowMicroseconds
        worker.metrics.add(.requests)
        guard !request.authority.isEmpty else {
            respond(400, because: "no Host field to redirect to", worker)
            return
        }
        self.status = status
        write()
        finish(worker)
        client.exchangeEnded(reuse: false, worker)
    }

    /// Counts a piece of the request's body; false, the exchange having ended with 413, when it is one too many.
    func accepts(bodyBytes count: Int, _ worker: Worker) -> Bool {
        bodyBytes &+= UInt64(count)
        guard bodyBytes > bodyLimit else { return true }
        failure = Self.tooLarge
        perform(state.requestBroken(), failureStatus: 413, worker)
        return false
    }

    /// The request is whole.
    func endRequest(trailers: borrowing HeaderBlock, _ worker: Worker) {
        guard client != nil else { return }
        // The last chunk is a piece of the body, too: it is not at hand for a second time.
        if asked.framing == .chunked { state.bodyForwarded() }
        if let kept = forwarding?.rules.requestTrailers(trailers) {
            serverSide(worker)?.sendEnd(trailers: kept, worker)
        } else {
            serverSide(worker)?.sendEnd(trailers: trailers, worker)
        }
        times.requestEnd = worker.nowMicroseconds
        perform(state.requestEnded(), worker)
    }

    /// The request's body breaks its framing.
    func breakRequest(_ error: ChunkError, _ worker: Worker) {
        failure = "invalid request body: \(error)"
        worker.metrics.add(.requestsRefused)
        perform(state.requestBroken(), failureStatus: 400, worker)
    }

    /// The client sent nothing of its body for too long.
    ///
    /// - Parameter isServersFault: some of it waits here, and the server takes nothing.
    func requestTimedOut(isServersFault: Bool = false, _ worker: Worker) {
        if isServersFault {
            failure = "the server took nothing of the request's body in time"
            perform(state.requestBroken(), failureStatus: 504, worker)
            return
        }
        failure = "the request's body did not come in time"
        perform(state.requestBroken(), failureStatus: 408, worker)
    }

    /// The client is gone.
    func clientGone(_ reason: String, _ worker: Worker) {
        if failure == nil { failure = reason }
        if status == 0 { status = 499 }
        leaveAnswer(worker)
        perform(state.clientFailed(), worker)
    }

    // MARK: what the server's side says

    /// A verified connection is ours: send the head.
    func serverReady(_ connection: UpstreamConnection, _ worker: Worker) {
        server = ServerStream(connection: connection.token)
        guard let context = makeForwardingContext(worker) else { return }
        connection.sendHead(request, context, worker)
        serverTook(connection.facts(), worker)
    }

    /// A verified connection that others share takes us too.
    func serverReady(_ connection: HTTP2UpstreamConnection, _ worker: Worker) {
        guard let context = makeForwardingContext(worker) else { return }
        guard let stream = connection.begin(self, context, worker) else {
            worker.pools[connection.place.pool].exchangeEnded(at: connection.place.endpoint, worker)
            seekOther(connection.place.endpoint, worker)
            return
        }
        server = stream
        serverTook(connection.facts(), worker)
    }

    func makeForwardingContext(_ worker: Worker) -> ForwardingContext? {
        guard let identity, let rules = files.folder?.rules ?? route.map({ worker.snapshot.rules(of: $0) }) else {
            return nil
        }
        forwarding = identity.forwardingContext(requestID, rules)
        return forwarding
    }

    private func serverTook(_ facts: ServerFacts, _ worker: Worker) {
        times.connected = worker.nowMicroseconds
        serverFacts = facts
        if let route, worker.pools[route.pool].sticky != nil {
            cookie = worker.pools[route.pool].cookie(answering: request, from: facts.endpoint) ?? []
        }
        state.serverTook(hasBody: asked.hasBody, upgrades: asked.upgrades)
        // The client's side goes on with what follows the head.
        if state.request != .ended, let client { worker.touch(client.connection) }
    }

    /// What a response is written with; nil before a server was sent anything.
    func responseContext(keepAlive: Bool) -> ResponseContext? {
        forwarding.map { ResponseContext($0, keepAlive: keepAlive, added: cookie) }
    }

    /// The final head is complete.
    func beginResponse(_ worker: Worker) {
        let status = response.status
        if status == 401, ConnectionAuthentication.isDemanded(by: response) {
            guard asked.majorVersion == 1 else {
                demandHTTP1(worker)
                return
            }
            isBound = true
        }
        // RFC 8441 §5: to such a client any success means that the stream carries the other protocol from here on.
        guard asked.majorVersion == 1 || !asked.upgrades || !(200..<300).contains(status) else {
            failure = "the server answered \(status) without changing to the protocol"
            perform(state.requestBroken(), worker)
            return
        }
        times.firstByte = worker.nowMicroseconds
        self.status = status
        state.responseStarted()
        clientSide(worker)?.sendHead(response, self, worker)
    }

    /// The server has agreed to the client's protocol.
    func beginTunnel(_ worker: Worker) {
        times.firstByte = worker.nowMicroseconds
        // RFC 8441 §5: in HTTP/2 the client sees a success like any other.
        status = asked.majorVersion == 2 ? 200 : response.status
        isTunnel = true
        state.tunnelStarted()
        worker.tunnelBegan()
        clientSide(worker)?.beginTunnel(response, self, worker)
        if let client { worker.touch(client.connection) }
    }

    /// A connection can be authenticated only where it carries one client's exchanges alone: the client is asked to come
    /// again in HTTP/1.1 (RFC 9113 §7, HTTP_1_1_REQUIRED).
    private func demandHTTP1(_ worker: Worker) {
        status = 421
        failure = "the server authenticates connections (NTLM or Negotiate): the client is asked to use HTTP/1.1"
        releaseServer(reuse: false, worker)
        let client = clientSide(worker)
        finish(worker)
        client?.demandHTTP1(worker)
    }

    /// The response is whole.
    ///
    /// - Parameter side: the client's side, where that is at hand.
    func endResponse(
        trailers: borrowing HeaderBlock,
        to side: ClientSide? = nil,
        reuseServer: Bool,
        _ worker: Worker
    ) {
        guard let client = side ?? clientSide(worker) else { return }
        if let kept = forwarding?.rules.responseTrailers(trailers) {
            client.sendEnd(trailers: kept, worker)
        } else {
            client.sendEnd(trailers: trailers, worker)
        }
        perform(state.responseEnded(reuseClient: client.staysOpen, reuseServer: reuseServer), to: client, worker)
    }

    /// The server's side failed.
    ///
    /// - Parameter repeatable: whether the request may be sent again (RFC 9110 §9.2.2): the server cannot have seen
    ///   it, or it was lost on a connection that had stood idle and its method is idempotent.
    func serverFailed(_ reason: UpstreamFailure, repeatable: Bool, _ worker: Worker) {
        failure = reason.description
        server = nil
        if let route { worker.metrics.add(.failures, upstream: route.pool) }
        perform(state.serverFailed(repeatable: repeatable), failureStatus: reason.status, worker)
    }

    /// Ends an exchange that has taken longer than the upstream's or the route's `total` allows.
    func checkTotal(_ worker: Worker) {
        guard client != nil, !isTunnel, let route, let total = worker.snapshot.limits(of: route).timeouts.total,
            worker.nowMicroseconds &- times.headComplete > total * 1000
        else { return }
        worker.metrics.add(.upstreamTimeouts)
        worker.metrics.add(.failures, upstream: route.pool)
        failure = "the exchange took longer than the configuration allows"
        perform(state.serverFailed(repeatable: false), failureStatus: 504, worker)
    }

    /// Keeps what the log says about the server's connection.
    func note(_ facts: ServerFacts) { serverFacts = facts }

    // MARK: actions

    func seekServer(_ worker: Worker) {
        guard let route else { return }
        times.connectStart = worker.nowMicroseconds
        if let connection = boundConnection(route, worker) {
            connection.resume(for: token, worker)
            return
        }
        switch worker.pools[route.pool].lease(for: self, worker) {
        case .ready(let connection): connection.resume(for: token, worker)
        case .shared(let connection): serverReady(connection, worker)
        case .pending(let dial): server = ServerStream(connection: dial)
        case .queued: break
        case .failed(let reason):
            // The reason of the last attempt says more than "no server left".
            if failure == nil || reason.explainsMore { failure = reason.description }
            perform(state.serverFailed(repeatable: false), failureStatus: lastFailureStatus ?? reason.status, worker)
        }
    }

    /// The connection that was authenticated for this client, if it still stands.
    private func boundConnection(_ route: Route, _ worker: Worker) -> UpstreamConnection? {
        guard let boundServer, let connection = worker.upstream(boundServer), connection.isWaitingForOwner,
            connection.place.pool == route.pool,
            worker.pools[route.pool].isCurrent(connection.place)
        else { return nil }
        isBound = true
        return connection
    }

    /// The status of the last failed attempt of this exchange.
    var lastFailureStatus: Int?

    /// - Parameter side: the client's side, where that is at hand.
    func perform(
        _ action: ExchangeState.Action,
        failureStatus: Int = 502,
        to side: ClientSide? = nil,
        _ worker: Worker
    ) {
        switch action {
        case .none: break
        case .retry:
            lastFailureStatus = failureStatus
            wantsFreshConnection = true
            seekServer(worker)
        case .respond: respond(failureStatus, because: failure ?? "", worker)
        case .cutOff:
            releaseServer(reuse: false, worker)
            let client = clientSide(worker)
            finish(worker)
            client?.cutOff(worker)
        case .finish(let reuseClient, let reuseServer):
            releaseServer(reuse: reuseServer, worker)
            let client = side ?? clientSide(worker)
            finish(client, worker)
            client?.exchangeEnded(reuse: reuseClient, worker)
        }
    }

    /// Answers the client ourselves.
    func respond(_ status: Int, because reason: String?, _ worker: Worker) {
        self.status = status
        failure = reason
        if status == 503, let route { retryAfter = (worker.pools[route.pool].settings.retryAfter + 999) / 1000 }
        let whole = state.request == .ended || (state.request == .awaitingServer && asked.framing == .none)
        releaseServer(reuse: false, worker)
        guard let client = clientSide(worker) else {
            finish(worker)
            return
        }
        let stays = client.sendLocal(status, self, mayStayOpen: whole, worker)
        finish(worker)
        client.exchangeEnded(reuse: stays, worker)
    }

    private func releaseServer(reuse: Bool, _ worker: Worker) {
        if waitsUntil > 0, let route { worker.pools[route.pool].forget(token) }
        guard let side = serverSide(worker) else { return }
        server = nil
        guard isBound, case .http1(let connection) = side else {
            side.exchangeEnded(token, reuse: reuse, worker)
            return
        }
        // Whoever else got this connection would be taken for this client.
        if reuse, case .http1(let client)? = clientSide(worker), client.phase == .exchanging {
            client.bind(to: connection.token, worker)
            connection.exchangeEnded(reuse: reuse, owner: client.token, worker)
        } else {
            connection.exchangeEnded(reuse: false, worker)
        }
    }

    /// Writes the access log's line and the metrics, and gives the exchange back.
    private func finish(_ worker: Worker) { finish(clientSide(worker), worker) }

    private func finish(_ side: ClientSide?, _ worker: Worker) {
        times.end = worker.nowMicroseconds
        if let side { worker.record(self, side.identity) }
        if isTunnel { worker.tunnelEnded() }
        client = nil
        worker.recycle(self)
    }

    /// Makes the exchange as new, keeping its memory.
    func reset() {
        // A client that never completes its head must not be answered, nor logged, by what another one asked.
        request.removeAll()
        asked = AskedRequest()
        state = ExchangeState()
        client = nil
        identity = nil
        boundServer = nil
        server = nil
        route = nil
        forwarding = nil
        site = nil
        answer = nil
        files = FileSide()
        retryAfter = nil
        bodyLimit = .max
        tried = 0
        attempts = 0
        refusals = 0
        waitsUntil = 0
        cookie = []
        wantsFreshConnection = false
        failure = nil
        lastFailureStatus = nil
        status = 0
        times = ExchangeTimes()
        bodyBytes = 0
        bytesFromClient = 0
        bytesToClient = 0
        serverFacts = ServerFacts()
        isTunnel = false
        isBound = false
        needsHTTP1 = false
    }
}
