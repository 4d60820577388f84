import Foundation
import Platform
import Support
import TLS
import Testing

/// A name server that stops answering; docs/faults.md has the outcomes.
@Suite("A name server that is silent", .serialized) struct NameServerTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let network: TestNetwork

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        network = try TestNetwork()
    }

    /// A name server in the other network, and how programs there are started that ask it.
    private func nameServer() throws -> (process: Int32, prefix: [String]) {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        let command = network.prefix + ["python3", "\(peers)/dns_server.py", "--address", network.there]
        let process = try ChildProcess.spawn(
            try Shell.find(command[0]),
            arguments: command,
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
        let settings = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
        let file = try folder.write("resolv.conf", settings)
        // `ip netns exec` gives a program mounts of its own.
        let script = try folder.write(
            "with-names",
            "#!/bin/sh\nmount --bind \(file) \"$(realpath /etc/resolv.conf)\" && exec \"$@\"\n"
        )
        return (process, network.prefix + ["sh", script])
    }

    @Test func `known addresses stay, no reload is held up, and what is not known is 503 until it is`() throws {
        let names = try nameServer()
        defer {
            kill(names.process, SIGKILL)
            _ = ChildProcess.wait(for: names.process)
        }
        let nginx = try Nginx(trust, address: network.there, prefix: network.prefix)
        try nginx.folder.write("www/file", [UInt8](repeating: 0x61, count: 100))
        try nginx.folder.write("www/other", [UInt8](repeating: 0x61, count: 100))
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: 1, server: "resolve = \"500ms\"")
            .replacingOccurrences(of: "\"127.0.0.1:1\"", with: "\"app.test:\(nginx.port)\"")
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text, prefix: names.prefix)
        func status(_ path: String) throws -> String {
            try Shell.run(
                network.prefix + [
                    "curl", "-sS", "-m", "30", "--cacert", "\(folder.path)/authority.pem", "-o", "/dev/null", "-w",
                    "%{http_code}", "https://localhost:\(everyhop.port)\(path)",
                ]
            ).text
        }
        try waitUntil("the first answer") { try status("/file") == "200" }
        kill(names.process, SIGSTOP)
        try everyhop.waitForLog("cannot resolve app.test")
        #expect(try status("/file") == "200")

        let other = """
            [[site.route]]
            path = "/other"
            upstream = "other"
            [[upstream]]
            name = "other"
            servers = ["other.test:\(nginx.port)"]
            server_name = "app.internal"
            trust = { ca = "authority.pem" }
            """
        let place = "[[upstream]]\nname = \"app\""
        try folder.write("everyhop.toml", text.replacingOccurrences(of: place, with: "\(other)\n\(place)"))
        everyhop.signal(SIGHUP)
        // Until the new generation serves, which takes seconds, the old one does.
        try waitUntil("the new generation") { try status("/other") == "503" }
        #expect(try status("/file") == "200")
        kill(names.process, SIGCONT)
        try waitUntil("the new name") { try status("/other") == "200" }
        #expect(try everyhop.workers().count == 1)
    }
}
