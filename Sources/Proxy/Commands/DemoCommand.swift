import ArgumentParser
import Platform
import TLS

/// `everyhop demo`: a whole example on loopback, with no other server.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run a complete example on loopback: legacy application, proxy, certificates, pins.",
        discussion: """
            Writes certificates and a configuration into a folder, starts an application that speaks HTTPS only, and
            everyhop in front of it. Ends with Ctrl-C; the folder stays, to look at and to play with.

            Example:
              everyhop demo --port 8443
            """
    )

    @Option(help: "The folder for certificates and configuration.")
    var folder = "demo"

    @Option(help: "The port of the proxy; 0 for a free one.")
    var port: UInt16 = 8443

    func run() throws {
        let demonstration: Demonstration
        do { demonstration = try Demonstration(folder: folder, port: port) } catch {
            Complaint.write("everyhop: \(error)")
            throw ExitCode(1)
        }
        let application = try ChildProcess.spawnSelf(
            ["demo-application", "\(folder)/app.pem", "\(folder)/app.key", "\(Host.process)"],
            descriptors: [demonstration.application.raw]
        )
        defer { ChildProcess.end(application) }
        try File.writeAll(Array(demonstration.explanation.utf8), to: 1)
        try RunCommand.parse(["--config", "\(folder)/everyhop.toml"]).run()
    }
}

/// The files and sockets of a demonstration.
struct Demonstration: ~Copyable {
    let application: FileDescriptor
    let explanation: String

    init(folder: String, port: UInt16) throws {
        try File.makeFolder(folder)
        guard let anywhere = SocketAddress(ip: "127.0.0.1", port: 0),
            let wanted = SocketAddress(ip: "127.0.0.1", port: port)
        else { throw ExitCode(1) }
        let listener = try Socket.listen(on: anywhere, sharePort: false)
        let applicationPort = Socket.localAddress(listener)?.port ?? 0
        // Bound for a moment, to find a free port or to complain early about a taken one.
        let probe = try Socket.listen(on: wanted, sharePort: false)
        let proxyPort = Socket.localAddress(probe)?.port ?? port
        let other = try Socket.listen(on: anywhere, sharePort: false)
        let adminPort = Socket.localAddress(other)?.port ?? 0
        _ = consume probe
        _ = consume other

        let authority = try CertificateMaker.authority(name: "everyhop demonstration authority")
        let portal = try CertificateMaker.issue(names: ["localhost", "127.0.0.1"], by: authority)
        let app = try CertificateMaker.issue(names: ["app.internal"], by: authority)
        try File.write(authority.certificatePEM, to: "\(folder)/authority.pem", mode: 0o644)
        try File.write(portal.certificatePEM, to: "\(folder)/portal.pem", mode: 0o644)
        try File.write(portal.keyPEM, to: "\(folder)/portal.key", mode: 0o600)
        try File.write(app.certificatePEM, to: "\(folder)/app.pem", mode: 0o644)
        try File.write(app.keyPEM, to: "\(folder)/app.key", mode: 0o600)
        guard let pin = try CertificateFacts.read(pem: app.certificatePEM).first?.pin else { throw ExitCode(1) }
        let text = Self.configuration(
            port: proxyPort,
            applicationPort: applicationPort,
            pin: pin,
            adminPort: adminPort
        )
        try File.write(Array(text.utf8), to: "\(folder)/everyhop.toml", mode: 0o644)
        application = consume listener
        explanation = """
            everyhop demonstration

              client hop   https://localhost:\(proxyPort)/          TLS 1.2 or 1.3, certificate \(folder)/portal.pem
              app hop      127.0.0.1:\(applicationPort) as app.internal    TLS, verified by \(folder)/authority.pem
                           and by pin \(pin)

              try:         curl --cacert \(folder)/authority.pem https://localhost:\(proxyPort)/
              hop map:     http://localhost:\(adminPort)/
              audit:       everyhop audit --config \(folder)/everyhop.toml
              look at:     \(folder)/everyhop.toml

            Change the pin in it, `kill -HUP` this process, and see the hop refused, on the map, too. Ctrl-C ends it.

            """
    }

    private static func configuration(
        port: UInt16,
        applicationPort: UInt16,
        pin: PublicKeyPin,
        adminPort: UInt16
    ) -> String {
        """
        # Made by `everyhop demo`.
        [server]
        drain = "2s"
        admin = "127.0.0.1:\(adminPort)"\(Privileges.isRoot ? "\nuser = \"nobody\"" : "")

        [log]
        access = "stdout"

        [audit]
        log = "audit.log"
        reports = "reports"
        clients_trust = "authority.pem"

        [certificate.portal]
        chain = "portal.pem"
        key = "portal.key"

        [[site]]
        name = "portal"
        upstream = "app"
        # Not for localhost, which other programs use, too; an audit says so.
        # hsts = { max_age = "365d" }

        [[site.binding]]
        type = "https"
        ip = "127.0.0.1"
        port = \(port)
        certificate = "portal"

        [[upstream]]
        name = "app"
        servers = ["127.0.0.1:\(applicationPort)"]
        server_name = "app.internal"
        trust = { ca = "authority.pem", pins = ["\(pin)"] }

        """
    }
}

/// The application of the demonstration, as a process of its own.
struct DemoApplicationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo-application", shouldDisplay: false)

    @Argument var chain: String
    @Argument var key: String
    /// Who has started it; by the time it could look for itself, that one may be dead and another in its place.
    @Argument var parent: Int32

    func run() throws {
        ChildProcess.dieWithParent(parent)
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        let identity = try ServerIdentity(chainPEM: try File.read(chain), keyPEM: try File.read(key))
        let listener = FileDescriptor(owning: ChildProcess.firstDescriptor)
        try DemoApplication(listener: listener, identity: identity).run()
    }
}
