import Evidence
import Foundation
import Platform
import Support
import TLS

/// A configuration whose every hop can be made good or bad, and its audit.
struct Audited {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
    }

    /// The tables that every audit needs.
    func head(_ audit: String = "") -> String {
        """
        [server]
        workers = 1
        user = "nobody"
        [log]
        access = "stdout"
        [audit]
        clients_trust = "authority.pem"
        log = "audit.log"
        \(audit)
        [certificate.portal]
        chain = "portal.pem"
        key = "portal.key"

        """
    }

    /// A site at a port, whoever listens there.
    func site(port: UInt16, more: String = "hsts = { max_age = \"365d\" }") -> String {
        """
        [[site]]
        name = "portal"
        upstream = "app"
        \(more)
        [[site.binding]]
        ip = "127.0.0.1"
        port = \(port)
        host = "localhost"
        certificate = "portal"

        """
    }

    func upstream(port: UInt16, trust text: String? = nil) throws -> String {
        """
        [[upstream]]
        name = "app"
        servers = ["127.0.0.1:\(port)"]
        server_name = "app.internal"
        trust = \(try text ?? "{ ca = \"authority.pem\", pins = [\"\(trust.pin())\"] }")

        """
    }

    func database(_ kind: String, port: UInt16, binding: UInt16, pin: String? = nil) throws -> String {
        """
        [[database]]
        name = "\(kind)"
        protocol = "\(kind)"
        server = "127.0.0.1:\(port)"
        trust = { pins = ["\(try pin ?? trust.pin())"] }
        [[database.binding]]
        port = \(binding)

        """
    }

    /// Runs `everyhop audit`, as a user does.
    ///
    /// - Parameter prefix: what it is started with, such as another network.
    func audit(_ configuration: String, prefix: [String] = []) throws -> (report: AuditReport, status: Int) {
        let file = try folder.write("everyhop.toml", configuration)
        let json = "\(folder.path)/report.json"
        let program = EveryhopProcess.program
        let result = try Shell.run(
            prefix + [program, "audit", "--config", file, "--format", "json", "--output", json],
            merged: true
        )
        do { return (try AuditReport(json: File.read(json)), result.status) } catch {
            throw DeadlinePassed(description: "no report (\(error)):\n\(result.text)")
        }
    }
}

extension AuditReport {
    /// The faults of a report, as `kind check`.
    var faults: Set<String> {
        Set(hops.flatMap { hop in hop.findings.filter { $0.verdict == .fallsShort }.map(\.check.rawValue) })
    }

    /// All that is said of a check.
    func findings(_ check: Check) -> [Finding] { hops.flatMap(\.findings).filter { $0.check == check } }
}
