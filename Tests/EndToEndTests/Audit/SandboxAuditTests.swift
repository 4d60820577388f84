import Evidence
import Foundation
import Platform
import Support
import TLS
import Testing

/// What `everyhop audit`, the hop map and the metrics tell of every process's sandbox, live.
@Suite("Audit of the sandbox", .enabled(if: Privileges.isRoot)) struct SandboxAuditTests {
    private let audited: Audited
    private let port: UInt16
    private let admin: UInt16
    private let configuration: String

    init() throws {
        audited = try Audited()
        port = try freePort()
        admin = try freePort()
        try File.makeFolder("\(audited.folder.path)/www")
        configuration =
            audited.head().replacing("workers = 1", with: "workers = 2\nadmin = \"127.0.0.1:\(admin)\"")
            + audited.site(port: port) + "[[site.route]]\npath = \"/files\"\nroot = \"www\"\nplaintext_root = true\n"
            + (try audited.upstream(port: freePort()))
    }

    private func without(_ layer: String) -> [String] {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        return ["python3", "\(peers)/without_layer.py", layer]
    }

    private func start(without layer: String? = nil) throws -> EveryhopProcess {
        try EveryhopProcess(
            audited.folder,
            port: port,
            configuration: configuration,
            prefix: layer.map { without($0) } ?? []
        )
    }

    /// What is said of the sandbox, once every helper that has to be there has told.
    private func finding(_ prefix: [String] = []) throws -> Finding {
        var finding: Finding?
        try waitUntil("a watcher, a prober and a monitor that have told") {
            finding = try audited.audit(configuration, prefix: prefix).report.findings(.processSandbox).first
            return ["watcher ", "prober ", "monitor ", "resolver "].allSatisfy { name in
                name == "resolver " || finding?.evidence.contains { $0.name.hasPrefix(name) } == true
            } && finding?.evidence.contains { $0.value.hasPrefix("still starts") } == false
        }
        return try #require(finding)
    }

    private func ask(_ path: String) throws -> String {
        var answer = ""
        try waitUntil("an answer of the admin address") {
            answer = try Shell.run(["curl", "-sS", "-m", "10", "http://127.0.0.1:\(admin)\(path)"], merged: true).text
            return answer.contains("everyhop")
        }
        return answer
    }

    private func sandbox() throws -> (missing: [String], processes: [ConfinedProcess]) {
        struct Map: Decodable {
            struct Sandbox: Decodable {
                let missing: [String]
                let processes: [ConfinedProcess]
            }
            let sandbox: Sandbox
        }
        let map = try JSONDecoder().decode(Map.self, from: Data(ask("/hops.json").utf8))
        return (map.sandbox.missing, map.sandbox.processes)
    }

    @Test func `every process and each of its layers is told`() throws {
        let everyhop = try start()
        let finding = try finding()
        let lacks = Sandbox.unavailable()
        #expect(finding.verdict == .holds, "\(finding) \(everyhop.log)")
        #expect(finding.statement.contains("it lacks") == !lacks.isEmpty)
        for worker in try everyhop.workers() {
            let told = try #require(finding.evidence.first { $0.name == "worker \(worker)" }).value
            for layer in Sandbox.Layer.allCases where lacks[layer] == nil {
                #expect(told.contains("\(layer.name): yes"), "\(told)")
            }
        }
        // The one that looks at folders keeps the right to read, on purpose.
        let watcher = try #require(finding.evidence.first { $0.name.hasPrefix("watcher ") }).value
        #expect(watcher.contains("unprivileged user: not needed") && watcher.contains("seccomp: yes"), "\(watcher)")
        #expect(finding.evidence.contains { $0.name == "master \(everyhop.process)" })
        var map = try sandbox()
        try waitUntil("all of them on the map: \(map)") {
            map = try sandbox()
            return Set(map.processes.map(\.name)).isSuperset(of: ["worker", "monitor", "prober", "watcher"])
        }
        #expect(map.missing == Sandbox.Layer.allCases.filter { lacks[$0] != nil }.map(\.meaning))
        #expect(Set(map.processes.filter { $0.name == "worker" }.map(\.process)) == Set(try everyhop.workers()))
    }

    @Test func `a kernel without landlock is told at the start, in the audit, on the map and in metrics`() throws {
        let everyhop = try start(without: "landlock")
        #expect(everyhop.log.contains("the sandbox lacks: landlock: files (Linux 5.13)"))
        let finding = try finding(without("landlock"))
        #expect(finding.verdict == .fallsShort)
        #expect(finding.statement.contains("workers lack \"landlock: files (Linux 5.13)\""), "\(finding.statement)")
        #expect(finding.statement.contains("the monitor lacks \"landlock: files"), "\(finding.statement)")
        #expect(finding.remedy?.contains("landlock") == true)
        let evidence = finding.evidence.filter { $0.name.hasPrefix("worker ") }.map(\.value)
        #expect(evidence.count == 2)
        #expect(
            evidence.allSatisfy { $0.contains("landlock: files: no (") && $0.contains("seccomp: yes") },
            "\(evidence)"
        )
        for format in ["text", "html"] {
            let file = "\(audited.folder.path)/everyhop.toml"
            let report = try Shell.run([EveryhopProcess.program, "audit", "--config", file, "--format", format]).text
            #expect(report.contains("workers lack"), "\(report)")
            #expect(report.contains("landlock: files: no ("), "\(report)")
        }
        let map = try sandbox()
        #expect(map.missing.contains("landlock: files (Linux 5.13)"))
        #expect(map.processes.filter { $0.name == "worker" }.allSatisfy { !$0.layers.contains("files") })
        #expect(try ask("/metrics").contains("everyhop_sandbox_missing_layers 6"))
    }

    @Test func `a kernel that is older than a layer is told, and is no fault where others hold`() throws {
        let everyhop = try start(without: "mdwe")
        #expect(everyhop.log.contains("the sandbox lacks: no executable memory (Linux 6.3)"))
        let older = try finding(without("mdwe"))
        #expect(
            older.verdict == .holds && older.statement.contains("it lacks \"no executable memory (Linux 6.3)\""),
            "\(older)"
        )
        // Where the kernel has it, something is wrong with everyhop.
        guard Sandbox.unavailable()[.code] == nil else { return }
        let here = try finding()
        #expect(here.verdict == .fallsShort)
        #expect(
            here.statement.contains("workers lack \"no executable memory (Linux 6.3)\", which this kernel has"),
            "\(here)"
        )
    }

    @Test func `whoever cannot ask the processes claims nothing of landlock`() throws {
        let everyhop = try start()
        // Another network, where the master cannot be asked.
        let found = try audited.audit(configuration, prefix: ["unshare", "--net"]).report.findings(.processSandbox)[0]
        #expect(found.verdict == .notChecked, "\(found) \(everyhop.log)")
        #expect(found.statement.contains("cannot be seen"))
        #expect(
            found.evidence.contains { $0.name.hasPrefix("worker ") && $0.value.contains("landlock: files: not known") }
        )
    }
}
