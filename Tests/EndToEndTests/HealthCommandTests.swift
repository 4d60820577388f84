import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("everyhop health", .serialized) struct HealthCommandTests {
    private func ask(_ arguments: String...) throws -> (text: String, status: Int) {
        let result = try Shell.run([EveryhopProcess.program, "health"] + arguments, merged: true)
        return (result.text, result.status)
    }

    @Test func `whoever cannot ask in HTTP is told whether it serves`() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let trust = try TestTrust()
        let folder = try TemporaryFolder()
        try trust.write(to: folder)
        let port = try freePort()
        let socket = "unix:\(folder.path)/admin"
        var everyhop: EveryhopProcess? = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(
                port: port,
                upstream: try freePort(),
                server: "admin = \"\(socket)\"",
                upstreamMore: "health = { path = \"/\", interval = \"100ms\", fall = 1 }"
            )
        )
        try waitUntil("life") { try ask("--live", socket).status == 0 }
        #expect(try ask("--live", socket).text == "alive\n")
        // Its only server answers no check.
        try waitUntil("not ready") { try ask(socket).status == 1 }
        #expect(try ask(socket).text.contains("status 503"))
        everyhop = nil
        _ = everyhop
        #expect(try ask("--live", socket).status == 1)
        #expect(try ask("127.0.0.1:\(try freePort())").status == 1)
        #expect(try ask("127.0.0.1").status == 2)
        #expect(try ask("--timeout", "0", socket).status == 2)
    }

    @Test func `those who say nothing keep nobody from asking`() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let trust = try TestTrust()
        let folder = try TemporaryFolder()
        try trust.write(to: folder)
        let port = try freePort()
        let admin = try EveryhopAdmin()
        let text = try trust.configuration(port: port, upstream: try freePort(), server: admin.setting)
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        let place = "127.0.0.1:\(admin.port)"
        try waitUntil("life") { try ask("--live", place).status == 0 }
        // One that listens to events is not cut off by those who come later.
        let listener = try Connection(to: admin.port, nil)
        try listener.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try listener.receive(until: "data: ").hasPrefix("HTTP/1.1 200"))
        let silent = try (0..<200).map { _ in try Connection(to: admin.port, nil) }
        for _ in 0..<3 {
            let answer = try ask("--live", place)
            #expect(answer.status == 0, "\(answer.text)\n\(everyhop.log)")
        }
        #expect(try !listener.receive(until: "\n\n").isEmpty)
        #expect(silent.count == 200)
    }
}
