import Foundation
import Platform
import Support
import TLS
import Testing

/// The application of `everyhop demo` lives as long as the demonstration, and no longer.
@Suite("The demonstration") struct DemonstrationTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The children of a process, by what they are.
    private func children(of process: Int32) -> [String: Int32] {
        let all = ProcessFacts.all().filter { $0.parent == process }
        return Dictionary(all.map { ($0.arguments.dropFirst().first ?? "", $0.identifier) }) { first, _ in first }
    }

    @Test func `when it is killed, nothing of it stays`() throws {
        let output = "\(folder.path)/output"
        let process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: [
                "sh", "-c", "cd \"$0\" && exec \"$1\" demo --port 0 > \"$2\" 2>&1", folder.path,
                EveryhopProcess.program,
                output,
            ],
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
        var application: Int32?
        do {
            defer {
                ChildProcess.end(process)
                _ = ChildProcess.wait(for: process)
            }
            try waitUntil("the application") {
                application = children(of: process)["demo-application"]
                return application != nil
            }
        }
        let orphan = try #require(application)
        // Whether it had begun its work or not.
        try waitUntil("the end of the application") { ProcessFacts(orphan).map { $0.arguments.isEmpty } ?? true }
    }

    @Test func `an application whose demonstration died before it began ends at once`() throws {
        let app = try CertificateMaker.issue(names: ["app.internal"], by: CertificateMaker.authority(name: "test"))
        let chain = try folder.write("app.pem", app.certificatePEM)
        let key = try folder.write("app.key", app.keyPEM)
        let listener = try Socket.listen(on: try #require(SocketAddress(ip: "127.0.0.1", port: 0)), sharePort: false)
        let port = Socket.localAddress(listener)?.port ?? 0
        let start = { (parent: Int32) in
            try ChildProcess.spawn(
                EveryhopProcess.program,
                arguments: ["everyhop", "demo-application", chain, key, "\(parent)"],
                environment: ChildProcess.currentEnvironment(),
                descriptors: [listener.raw]
            )
        }
        // Somebody else's process number.
        #expect(ChildProcess.wait(for: try start(ChildProcess.parent)) == -9)
        let process = try start(Host.process)
        defer {
            ChildProcess.end(process)
            _ = ChildProcess.wait(for: process)
        }
        let answer = try Shell.run(["curl", "-sk", "-m", "20", "https://127.0.0.1:\(port)/"])
        #expect(answer.text.contains("legacy application"))
    }
}
