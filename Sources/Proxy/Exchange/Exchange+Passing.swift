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

    /// Hands on a piece of the request's body, which is taken from where it waits.
    func forwardBody(_ count: Int, from queue: inout ByteQueue, _ worker: Worker) {
        guard count > 0 else { return }
        guard let server = serverSide(worker) else {
            queue.consume(count)
            return
        }
        state.bodyForwarded()
        server.sendBody(count, from: &queue, worker)
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

    /// The client's side, if it takes more of the response's body now.
    func takerOfResponse(_ worker: Worker) -> ClientSide? {
        guard let side = clientSide(worker), side.takesResponse else { return nil }
        return side
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
