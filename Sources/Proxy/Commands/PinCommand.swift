import ArgumentParser
import Bytes
import Config
import Database
import Evidence
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
              everyhop pin 10.0.2.5:1433 --protocol tds
            """
    )

    @Argument(help: "Host and port, such as app.internal:443 or [2001:db8::1]:443.")
    var server: String

    @Option(
        name: .customLong("protocol"),
        help: "How TLS begins: https, tds, tds-strict, postgres or mysql."
    )
    var kind = "https"

    @Flag(help: "Look at servers that speak TLS 1.0 or have weak keys, too.")
    var legacy = false

    @Option(help: "The name to send (SNI); the host by default.")
    var serverName: String?

    @Option(help: "Begin with a PROXY header, for servers that expect one: v1 or v2.")
    var sendProxy: String?

    @Option(help: "Seconds to wait at most.")
    var timeout = 10

    func run() throws {
        let certificates = try Refusal.explained { try fetch() }
        for facts in certificates.prefix(1) {
            CertificatePrinter.print(facts)
            print("trust = { pins = [\"\(facts.pin)\"] }")
        }
    }

    func validate() throws {
        guard kind == "https" || ServerOpening.Kind(rawValue: kind) != nil else {
            let kinds = ServerOpening.Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("protocol \(kind) is not known; use https, \(kinds)")
        }
        if let sendProxy, ProxyProtocol(rawValue: sendProxy) == nil {
            throw ValidationError("version \(sendProxy) of the PROXY protocol is not known; use v1 or v2")
        }
    }

    private func fetch() throws -> [CertificateFacts] {
        let place = try HostAndPort(server)
        let host = place.host
        let addresses = try place.addresses()
        var last: (any Error)?
        for address in addresses {
            do { return try certificates(of: address, name: serverName ?? host) } catch { last = error }
        }
        throw last ?? ValidationError("no address for \(host)")
    }

    /// Dials, says what its protocol wants said, and shakes hands; nobody logs in.
    private func certificates(of address: SocketAddress, name: String) throws -> [CertificateFacts] {
        let opening = ServerOpening.Kind(rawValue: kind)
        let connection = try ProbeConnection(
            to: address,
            milliseconds: UInt64(clamping: timeout) * 1000,
            announcing: Announcement(sendProxy.flatMap(ProxyProtocol.init))
        )
        let form = try opening.map { try connection.open($0) } ?? .direct
        let context = try ClientContext.inspecting(
            name: name,
            policy: legacy ? .legacy : .nist80052r2,
            alpn: opening?.alpn ?? [],
            newest: form == .enveloped ? .tls12 : nil
        )
        return try connection.secure(context, form: form).certificates
    }
}
