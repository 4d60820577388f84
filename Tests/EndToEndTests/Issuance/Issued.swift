import ACME
import Foundation
import Platform
import Support
import TLS

/// everyhop with a certificate that an authority issues.
struct Issued {
    let folder: TemporaryFolder
    let trust: TestTrust
    let http: UInt16
    let tls: UInt16
    let admin: UInt16
    /// The configuration's `acme`, without its directory and names.
    var settings = ""
    /// Further keys of `[server]`.
    var server = ""
    var name = "portal.example.org"

    /// - Parameter pebble: the authority that looks at the ports; nil when none does.
    init(_ trust: TestTrust, _ pebble: Pebble?, settings: String = "") throws {
        folder = try TemporaryFolder()
        self.trust = trust
        self.settings = settings
        http = try pebble?.httpPort ?? freePort()
        tls = try pebble?.tlsPort ?? freePort()
        admin = try freePort()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
    }

    var state: CertificateFolder { CertificateFolder(state: "\(folder.path)/state") }

    var record: CertificateRecord {
        state.read(.record, "portal").flatMap { CertificateRecord(json: $0) } ?? CertificateRecord()
    }

    /// The present certificate's fingerprint.
    var fingerprint: String? { state.certificate("portal")?.facts.fingerprint }

    func configuration(_ directory: String, names: [String]? = nil) throws -> String {
        """
        [server]
        workers = 2
        drain = "2s"
        state = "state"
        admin = "127.0.0.1:\(admin)"
        \(server)
        [log]
        access = "stdout"
        level = "debug"
        [certificate.portal]
        acme = { directory = "\(directory)", names = \(names ?? [name]), trust = { ca = "authority.pem" }, terms_agreed = true\(settings) }
        [[site]]
        name = "portal"
        upstream = "app"
        redirect = ["127.0.0.1:\(http)"]
        [[site.binding]]
        ip = "127.0.0.1"
        port = \(tls)
        certificate = "portal"
        [[upstream]]
        name = "app"
        servers = ["127.0.0.1:1"]
        server_name = "app.internal"
        trust = { ca = "authority.pem" }
        [audit]
        probe_interval = "1h"
        """
    }

    func start(_ directory: String, names: [String]? = nil) throws -> EveryhopProcess {
        try EveryhopProcess(folder, port: tls, configuration: try configuration(directory, names: names))
    }

    /// Lays a certificate down as if it had been issued before, at the end of its life.
    func keepOld(_ directory: String) throws -> CertificateFacts {
        let old = try CertificateMaker.issue(names: [name], by: trust.authority, validFrom: -80, days: 90)
        try File.makeFolder("\(folder.path)/state")
        let file = CertificateFile(chainPEM: old.certificatePEM, keyPEM: old.keyPEM)
        try state.write(.certificate, "portal", file.bytes)
        var record = CertificateRecord()
        record.succeeded(directory, now: Int64(Clock.unixMicroseconds() / 1_000_000) - 80 * 86_400)
        try state.write(.record, "portal", record.json)
        return try CertificateFacts.read(pem: old.certificatePEM)[0]
    }

    /// The certificate that clients see.
    func shown() throws -> CertificateFacts? {
        let address = SocketAddress(ip: "127.0.0.1", port: tls)
        let context = try ClientContext.inspecting(name: name)
        guard let address, let look = try? Look(address, context) else { return nil }
        return look.leaf
    }

    /// The body of what the admin address answers.
    func ask(_ path: String) -> String {
        guard let connection = try? Connection(to: admin, nil),
            (try? connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")) != nil
        else { return "" }
        return connection.receiveAll()
    }

    /// The whole answer of the plain listener.
    func plain(_ request: String, host: String? = nil) throws -> String {
        let connection = try Connection(to: http, nil)
        try connection.send("\(request) HTTP/1.1\r\nHost: \(host ?? name)\r\n\r\n")
        return connection.receiveAll()
    }

    /// The process that asks the authority.
    func issuer(of everyhop: EveryhopProcess) throws -> Int32? {
        try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,args="]).text.split(separator: "\n")
            .first { $0.hasSuffix("everyhop acme") }.flatMap { Int32($0.split(separator: " ")[0]) }
    }
}

/// One handshake that only looks.
private struct Look {
    var leaf: CertificateFacts?

    init(_ address: SocketAddress, _ context: ClientContext) throws {
        let attempt = try Socket.connect(to: address)
        let descriptor = attempt.takeDescriptor()
        var connection = try TLSConnection(connecting: context, endpoint: 0, descriptor: descriptor.raw)
        let end = Clock.monotonicMicroseconds() + 10_000_000
        while Clock.monotonicMicroseconds() < end {
            switch try connection.handshake() {
            case .done:
                leaf = connection.peerCertificates().first
                return
            case .wantsRead: wait(descriptor.raw, Int16(POLLIN))
            case .wantsWrite: wait(descriptor.raw, Int16(POLLOUT))
            }
        }
    }

    private func wait(_ raw: Int32, _ events: Int16) {
        var entry = pollfd(fd: raw, events: events, revents: 0)
        _ = poll(&entry, 1, 1000)
    }
}
