import Bytes
import Config
import HTTP
import Platform
import Telemetry

/// The monitor process: answers on the admin address, from pages that the workers write.
final class Monitor {
    private static let mostClients = 64
    /// How long a client may take, in milliseconds.
    private static let patience: UInt64 = 5000

    private enum Handler {
        case control
        case listener
        case client(AdminConnection)
    }

    private let poller: Poller
    private let listener: FileDescriptor
    private let upstreams: [String]
    private let databases: [PrometheusText.DatabaseLabel]
    private var channel: ControlChannel
    private var pages: [(process: Int, page: MetricsPage)]
    private var handlers = Slab<Handler>()
    private var wheel: TimerWheel
    private let buffers = BufferPool()

    init(_ setup: consuming HelperSetup, listener: consuming FileDescriptor) throws {
        poller = try Poller()
        self.listener = consume listener
        upstreams = setup.configuration.upstreams.map(\.name)
        databases = setup.configuration.databases.map { .init(name: $0.name, isLegacy: $0.legacy) }
        pages = setup.pages
        channel = setup.takeChannel()
        wheel = TimerWheel(now: Clock.monotonicMicroseconds() / 1000)
        try poller.add(channel.descriptor, handlers.insert(.control), .read)
        try poller.add(self.listener, handlers.insert(.listener), .read)
    }

    /// Serves until the master is gone.
    func run() throws {
        // What came together with the order to start lies in the channel already: epoll would not tell of it.
        try readControl()
        while true {
            let before = Clock.monotonicMicroseconds() / 1000
            let count = try poller.wait(milliseconds: wheel.timeout(now: before))
            let now = Clock.monotonicMicroseconds() / 1000
            for index in 0..<count {
                let event = poller.event(at: index)
                switch handlers[event.token] {
                case .control: try readControl()
                case .listener: try accept(now)
                case .client(let client):
                    if client.ready(poller, answer: answer) { handlers.remove(event.token) }
                case nil: break
                }
            }
            for token in wheel.expire(now: now) { handlers.remove(token) }
        }
    }

    private func accept(_ now: UInt64) throws {
        while let accepted = try Socket.accept(from: listener) {
            guard handlers.count < Self.mostClients else { continue }
            let token = handlers.reserve()
            let descriptor = accepted.takeDescriptor()
            try poller.add(descriptor, token, .read)
            handlers.fill(token, .client(AdminConnection(token, descriptor, buffers)))
            wheel.arm(token, deadline: now + Self.patience)
        }
    }

    private func readControl() throws {
        while var message = try channel.receive() {
            var reader = WireReader(message.payload)
            switch ControlKind(rawValue: message.kind) {
            case .page:
                let process = try reader.int()
                if let descriptor = message.takeDescriptor() {
                    pages.append((process, try MetricsPage(descriptor: descriptor)))
                }
            case .pageGone:
                let process = try reader.int()
                pages.removeAll { $0.process == process }
            default: break
            }
        }
    }

    /// What an admin path answers.
    private func answer(_ path: String) -> AdminConnection.Answer {
        switch path {
        case "/metrics":
            .init(
                status: 200,
                contentType: PrometheusText.contentType,
                body: PrometheusText.write(pages.map(\.page), upstreams: upstreams, databases: databases)
            )
        case "/healthz":
            // The first page is the retired one; without a worker nothing is served.
            pages.count > 1
                ? .init(status: 200, contentType: "text/plain", body: "ok\n")
                : .init(status: 503, contentType: "text/plain", body: "no worker\n")
        default: .init(status: 404, contentType: "text/plain", body: "/metrics and /healthz are here\n")
        }
    }
}
