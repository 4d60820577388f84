import ArgumentParser
import Config
import Evidence
import Platform
import TLS

/// `everyhop audit run`, which `everyhop audit` is short for.
struct AuditRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Probe every hop and say what holds.",
        discussion: """
            Every binding, server and database of the configuration is asked from outside what it accepts; nobody logs
            in anywhere but with credentials that the configuration names for it. With `reports` in [audit], the report
            is kept there, too: as JSON and HTML, signed, and chained to the one before.

            Exit code 0 only when every hop holds, 1 when one falls short or could not be checked, 2 when the
            configuration cannot be used or the report cannot be kept.

            Example:
              everyhop audit --config everyhop.toml
              everyhop audit --config everyhop.toml --format html --output audit.html
              everyhop audit --config everyhop.toml --since reports/audit-20261101T060000Z.json
            """
    )

    /// What a report is written as.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text
        case json
        case html
    }

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String

    @Option(help: "How the report is written: text, json or html.")
    var format = Format.text

    @Option(name: .shortAndLong, help: "A file to write it to, instead of standard output.")
    var output: String?

    @Option(help: "An earlier report as JSON: what has changed since is told, too.")
    var since: String?

    @Flag(help: "Do not keep the report in the folder of [audit].")
    var discard = false

    func run() throws {
        let loaded = Loader.load(config, keepsCertificates: false)
        if !loaded.findings.isEmpty { Complaint.write(loaded.findings) }
        guard let bundle = loaded.bundle else { throw ExitCode(2) }
        var report = try report(bundle)
        var seal: ReportSeal?
        do {
            if let since { report = try compared(report, with: since) }
            let settings = try bundle.configuration().audit
            if let folder = settings.reports?.value, !discard {
                let key = settings.key.map { Loader.resolved($0.value, beside: config) }
                let store = try ReportStore(folder: Loader.resolved(folder, beside: config), keyFile: key)
                let written = try store.write(report, html: true)
                report = written.report
                seal = written.seal
                Complaint.write("kept as \(written.json)" + (written.html.map { " and \($0)" } ?? ""))
            }
            try write(report, seal)
        } catch let error as ExitCode {
            throw error
        } catch {
            Complaint.write("everyhop: \(error)")
            throw ExitCode(2)
        }
        guard report.verdict == .holds else { throw ExitCode(1) }
    }

    private func report(_ bundle: Bundle) throws -> AuditReport {
        let begun = Self.now
        let hops = try AuditPlan(bundle).hops()
        let digest = bundle.resources[CertificateStore.digestName].map { String(decoding: $0, as: UTF8.self) }
        return AuditReport(
            program: "everyhop \(Version.text)",
            host: Host.name,
            configuration: AuditReport.Subject(path: config, sha256: digest ?? ""),
            begun: AuditReport.time(unixSeconds: begun),
            ended: AuditReport.time(unixSeconds: Self.now),
            hops: hops,
            provider: ProviderAnswer.list(try bundle.configuration().provider, today: CalendarDay(unixSeconds: begun)),
            previous: nil
        )
    }

    private static var now: Int64 { Int64(Clock.unixMicroseconds() / 1_000_000) }

    private func compared(_ report: AuditReport, with path: String) throws -> AuditReport {
        let bytes: [UInt8]
        do throws(Errno) { bytes = try File.read(path, orPipeFor: File.patience) } catch {
            throw ValidationError("\(path) cannot be read: \(error.message)")
        }
        let file = path.split(separator: "/").last.map(String.init) ?? path
        let previous = AuditReport.Previous(file: file, sha256: SHA256.hexadecimal(bytes))
        return report.compared(with: try AuditReport(json: bytes), file: previous)
    }

    private func write(_ report: AuditReport, _ seal: ReportSeal?) throws {
        let bytes: [UInt8]
        switch format {
        case .json: bytes = try report.json()
        case .html: bytes = Array(HTMLReport(report, seal: seal).render().utf8)
        case .text:
            let isTerminal = output == nil && Host.isTerminal(1)
            let isColoured = TextReport.wantsColour(
                isTerminal: isTerminal,
                environment: ChildProcess.currentEnvironment()
            )
            bytes = Array(TextReport(report, isColoured: isColoured).render().utf8)
        }
        if let output {
            try File.write(bytes, to: output, mode: 0o640)
        } else {
            try File.writeAll(bytes, to: 1)
        }
    }
}
