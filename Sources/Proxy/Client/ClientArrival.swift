import Bytes
import Config
import HTTP
import Platform
import Telemetry

/// A connection that a load balancer passes on, until its PROXY header has said whose it is.
///
/// *Ownership:* the worker owns it through its slab; it owns the socket until the client's session takes it over. What
/// follows the header is TLS's or the protocol's, so that not a byte beyond it is taken.
final class ClientArrival {
    /// Most headers are shorter.
    private static let glance = 512

    let token: Token
    private let entry: ListenEntry
    private let balancer: SocketAddress
    private var descriptor: FileDescriptor?
    private var bytes: [UInt8] = []
    private var deadline = Deadline()

    init(token: Token, entry: ListenEntry, balancer: SocketAddress, descriptor: consuming FileDescriptor) {
        self.token = token
        self.entry = entry
        self.balancer = balancer
        self.descriptor = consume descriptor
    }

    func start(_ worker: Worker) {
        worker.arm(token, deadline.set(after: worker.snapshot.configuration.server.timeouts.handshake, now: worker.now))
    }

    func ready(_ worker: Worker) {
        do throws(ProxyHeaderError) {
            while let seen = look() {
                guard !seen.isEmpty else {
                    // Who only looks whether somebody listens here has nothing to say.
                    if bytes.isEmpty { close(worker) } else { refuse("the connection ended within it", worker) }
                    return
                }
                let before = bytes.count
                bytes += seen
                let parsed = try ProxyHeader.parse(bytes.span)
                take(min(parsed?.count ?? bytes.count, bytes.count) - before)
                guard let parsed else { continue }
                begin(parsed.header, worker)
                return
            }
        } catch { refuse(error.description, worker) }
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        refuse("it did not come in time", worker)
    }

    func close(_ worker: Worker) {
        guard descriptor != nil else { return }
        deadline.clear()
        worker.drop(token)
        descriptor = nil
    }

    /// What waits, without taking it; a connection that broke has ended.
    private func look() -> [UInt8]? {
        guard descriptor != nil else { return nil }
        do throws(Errno) { return try peek() } catch { return [] }
    }

    private func peek() throws(Errno) -> [UInt8]? {
        switch descriptor {
        case .some(let descriptor): try Socket.peek(descriptor, most: Self.glance)
        case nil: nil
        }
    }

    /// What has been looked at lies there, so that it comes as a whole.
    private func take(_ count: Int) {
        guard count > 0 else { return }
        switch descriptor {
        case .some(let descriptor): _ = try? Socket.take(descriptor, most: count)
        case nil: break
        }
    }

    private func begin(_ header: ProxyHeader, _ worker: Worker) {
        guard let descriptor = descriptor.take() else { return }
        deadline.clear()
        worker.begin(token, descriptor, ClientOrigin(header, from: balancer), entry)
    }

    private func refuse(_ reason: String, _ worker: Worker) {
        worker.metrics.add(.proxyHeadersRefused)
        worker.log.client(balancer, "PROXY header: \(reason)")
        worker.noteRefusal(HopRefusal(hop: .client, name: "", peer: balancer.host, reason: "PROXY header: \(reason)"))
        close(worker)
    }
}
