import Bytes
import Database
import Platform
import TLS

/// Bytes in, bytes out; an end is passed on once everything before it has been.
extension DatabaseSession {
    /// Writes what each side has read to the other, as far as it takes it.
    func relay(_ worker: Worker) {
        guard let server else { return }
        let toServer: Bool
        do throws(TransportError) {
            toServer = try server.transport.relay(from: &client.transport)
        } catch {
            broke(.server, error, worker)
            return
        }
        let toClient: Bool
        do throws(TransportError) {
            toClient = try client.transport.relay(from: &server.transport)
        } catch {
            broke(.client, error, worker)
            return
        }
        if toServer, client.transport.end != .open { finish(server, worker) }
        if toClient, server.transport.end != .open { finish(client, worker) }
        if client.isFinished, server.isFinished { close(worker) }
    }

    private func finish(_ end: End, _ worker: Worker) {
        guard !end.isFinished else { return }
        end.isFinished = true
        end.transport.endWriting()
        setDeadline(Self.halfClosedTime, worker)
    }

    /// Brings the last words out, then waits a little for the client to hang up, so that no reset destroys them.
    func sayFarewell(_ worker: Worker) {
        client.transport.consume(client.transport.inbound.count)
        if phase == .refusing {
            do throws(TransportError) {
                guard try client.transport.flush() else { return }
            } catch {
                close(worker)
                return
            }
            guard client.transport.bytesOut > 0 else {
                close(worker)
                return
            }
            client.transport.endWriting()
            phase = .lingering
        }
        if client.transport.end != .open { close(worker) }
    }
}
