import ArgumentParser
import Bytes
import Config
import Platform
import TLS

/// `everyhop pin`: fetches a server's certificate and prints its pin, to be compared by eye before it is trusted.
struct PinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Print a server's pin, with the certificate to compare by eye.",
        discussion: """
            The pin is what the server shows now, to whoever asks: compare it with what its administrator says before
            you put it into a configuration.

            Example:
              everyhop pin 10.0.1.10:443 --server-name app.internal
            """
    )

    @Argument(help: "Host and port, such as app.internal:443 or [2001:db8::1]:443.")
    var server: String

    @Option(help: "The name to send (SNI); the host by default.")
    var serverName: String?

    @Option(help: "Seconds to wait at most.")
    var timeout = 10

    func run() throws {
        let certificates = try Refusal.explained { try fetch() }
        for facts in certificates.prefix(1) {
            CertificatePrinter.print(facts)
            print("trust = { pins = [\"\(facts.pin)\"] }")
        }
    }

    private func fetch() throws -> [CertificateFacts] {
        guard let colon = server.lastIndex(of: ":"), let port = UInt16(server[server.index(after: colon)...]), port > 0
        else {
            throw ValidationError("\(server) has no port; write it like app.internal:443")
        }
        var host = String(server[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        let addresses = try SocketAddress(ip: host, port: port).map { [$0] } ?? NameResolution.resolve(host, port: port)
        var last: (any Error)?
        for address in addresses {
            do { return try inspect(address, name: serverName ?? host) } catch { last = error }
        }
        throw last ?? ValidationError("no address for \(host)")
    }

    private func inspect(_ address: SocketAddress, name: String) throws -> [CertificateFacts] {
        let poller = try Poller(batch: 1)
        let attempt = try Socket.connect(to: address)
        let token = Token(rawValue: 1)
        try poller.add(attempt.descriptor, token, .write)
        let end = Clock.monotonicMicroseconds() / 1000 + UInt64(clamping: timeout) * 1000
        try wait(poller, until: end, address)
        try Socket.connectResult(attempt.descriptor)
        let context = try ClientContext.inspecting(name: name)
        var connection = try TLSConnection(connecting: context, endpoint: 0, descriptor: attempt.descriptor.raw)
        while true {
            switch try connection.handshake() {
            case .done: return connection.peerCertificates()
            case .wantsRead: try poller.change(attempt.descriptor, token, .read)
            case .wantsWrite: try poller.change(attempt.descriptor, token, .write)
            }
            try wait(poller, until: end, address)
        }
    }

    private func wait(_ poller: Poller, until end: UInt64, _ address: SocketAddress) throws {
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { throw Errno.timedOut(in: "connect") }
            if try poller.wait(milliseconds: Int32(clamping: end - now)) > 0 { return }
        }
    }
}
