import Foundation
import Platform
import Support
import TLS

/// An everyhop whose files and configuration change while it runs.
struct Reloaded {
    let trust: TestTrust
    let folder: TemporaryFolder
    let port: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        port = try freePort()
    }

    /// Replaces a file as renewal programs do it.
    func replace(_ name: String, _ bytes: [UInt8]) throws {
        try folder.write("\(name).tmp", bytes)
        try File.rename("\(folder.path)/\(name).tmp", to: "\(folder.path)/\(name)")
    }

    /// Replaces the portal's certificate, and tells the new one's pin.
    func renew() throws -> PublicKeyPin {
        let next = try CertificateMaker.issue(names: ["localhost", "127.0.0.1"], by: trust.authority)
        try replace("portal.key", next.keyPEM)
        try replace("portal.pem", next.certificatePEM)
        return try pin(next)
    }

    func pin(_ issued: CertificateMaker.Issued) throws -> PublicKeyPin {
        try CertificateFacts.read(pem: issued.certificatePEM)[0].pin
    }

    /// Whether a new handshake is shown the certificate with this key.
    func isShown(_ pin: PublicKeyPin, on port: UInt16? = nil) throws -> Bool {
        let context = try ClientContext(
            trust: ClientContext.Trust(authoritiesPEM: nil, pins: [pin]),
            name: "localhost",
            policy: .nist80052r2,
            alpn: []
        )
        return (try? Connection(to: port ?? self.port, context)) != nil
    }

    func waitUntilShown(_ pin: PublicKeyPin, _ everyhop: EveryhopProcess) throws {
        try waitUntil("the certificate with \(pin):\n\(everyhop.log)") { try isShown(pin) }
    }

    func ask(_ context: ClientContext? = nil, path: String = "/") throws -> (text: String, facts: TLSFacts?) {
        let connection = try Connection(to: port, try context ?? trust.client())
        try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let text = connection.receiveAll()
        return (text, connection.facts)
    }

    /// A server that answers each request with the number of its connection.
    func countingServer() throws -> ScriptedServer {
        let count = Shared(0)
        return try ScriptedServer(certificate: trust.app) { connection in
            let number = count.with {
                $0 += 1
                return $0
            }
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                let body = "connection \(number)"
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
        }
    }

    /// `everyhop reload`.
    func reload(_ file: String? = nil) throws -> ProgramResult {
        try Shell.run(
            [EveryhopProcess.program, "reload", "--config", file ?? "\(folder.path)/everyhop.toml"],
            merged: true
        )
    }
}
