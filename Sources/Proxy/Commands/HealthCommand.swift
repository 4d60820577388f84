import ArgumentParser
import Config
import Evidence
import Platform

/// `everyhop health`: for whoever watches processes and cannot ask in HTTP, such as a container's host.
struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Ask a running everyhop whether it can serve.",
        discussion: """
            Asks its admin address. Exit code 0 when it can serve, 1 when it cannot, or says nothing.

            Example:
              everyhop health 127.0.0.1:9180
              everyhop health --live unix:/run/everyhop/admin.socket
            """
    )

    @Argument(help: "The admin address, such as 127.0.0.1:9180 or unix:/path.")
    var address: String

    @Flag(help: "Ask only whether it lives (/healthz), whatever becomes of its servers (/readyz).")
    var live = false

    @Option(help: "Seconds to wait at most.")
    var timeout = 5

    func validate() throws {
        guard (1...3600).contains(timeout) else { throw ValidationError("--timeout is from 1 to 3600") }
    }

    func run() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let addresses = try address.hasPrefix("unix:") ? [.unix(path: String(address.dropFirst(5)))] : dialled()
        do {
            let connection = try ProbeConnection.first(of: addresses, milliseconds: UInt64(timeout) * 1000)
            let request = ProbeRequest(host: "localhost", path: live ? "/healthz" : "/readyz")
            switch try request.ask(connection) {
            case .response(let answer) where answer.status == 200: print(live ? "alive" : "ready")
            case .response(let answer): throw ProbeFailure("status \(answer.status)")
            case .refusal(let reason), .unreadable(let reason): throw ProbeFailure(reason)
            }
        } catch {
            Complaint.write("everyhop: \(address): \(error)")
            throw ExitCode(1)
        }
    }

    private func dialled() throws -> [SocketAddress] {
        let place = try HostAndPort(address)
        return try place.addresses()
    }
}

/// A server as a command line names it.
struct HostAndPort {
    let host: String
    let port: UInt16

    init(_ text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = Endpoint.port(text[text.index(after: colon)...]) else {
            throw ValidationError("\(text) has no port; write it like app.internal:443")
        }
        let host = String(text[..<colon])
        self.host = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        self.port = port
    }

    func addresses() throws -> [SocketAddress] {
        try SocketAddress(ip: host, port: port).map { [$0] } ?? NameResolution.resolve(host, port: port)
    }
}
