import Bytes
import Config
import HTTP
import Telemetry

/// What passes from one side to the other, and how far each goes.
extension Exchange {
    /// Whether there is memory for what will wait; if not, it has ended with 503.
    func isAffordable(_ worker: Worker) -> Bool {
        guard worker.isPressed else { return true }
        worker.metrics.add(.requestsShed)
        respond(503, because: "this worker's buffers are used up", worker)
        return false
    }

    /// Whether the server's side takes more of the request's body now.
    func takesBody(_ worker: Worker) -> Bool {
        guard state.request == .forwarding else { return false }
        return serverSide(worker)?.takesBody ?? false
    }

    /// Whether the request is not whole yet and may still become so.
    var requestIsOpen: Bool {
        switch state.request {
        case .awaitingServer, .upgrading, .forwarding: true
        case .ended, .aborted: false
        }
    }

    /// An interim response (RFC 9110 §15.2) passes through.
    func forwardInterim(_ worker: Worker) {
        clientSide(worker)?.sendInterim(response, self, worker)
    }

    /// Whether the client's side takes more of the response's body now.
    func takesResponse(_ worker: Worker) -> Bool {
        clientSide(worker)?.takesResponse ?? false
    }

    /// Hands on a piece of the response's body.
    func forwardResponse(_ bytes: Span<UInt8>, _ worker: Worker) {
        clientSide(worker)?.sendBody(bytes, self, worker)
    }

    /// How long the server may take.
    func timeouts(_ worker: Worker) -> Config.Upstream.Timeouts? {
        route.map { worker.snapshot.limits(of: $0).timeouts }
    }

    func clientSide(_ worker: Worker) -> ClientSide? {
        guard let client else { return nil }
        return worker.clientSide(client)
    }

    func serverSide(_ worker: Worker) -> ServerSide? {
        guard let server else { return nil }
        return worker.serverSide(server)
    }
}
