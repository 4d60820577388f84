import Foundation
import Platform
import TLS

/// HAProxy on a port of its own, before or behind everyhop.
public final class HAProxy {
    /// Where it listens.
    public let port: UInt16
    /// Its folder, with the certificates of the tests.
    public let folder: TemporaryFolder
    private let process: Int32

    /// Starts it and waits until it answers.
    ///
    /// - Parameter sections: what follows `global` and `defaults`; PORT stands for its port, PATH for its folder.
    public init(_ trust: TestTrust, _ sections: String) throws {
        folder = try TemporaryFolder()
        port = try freePort()
        try trust.write(to: folder)
        try folder.write("both.pem", trust.app.certificatePEM + trust.app.keyPEM)
        let path = folder.path
        let port = self.port
        let configuration = """
            global
              maxconn 1000
            defaults
              timeout connect 5s
              timeout client 30s
              timeout server 30s
            \(sections.replacingOccurrences(of: "PORT", with: "\(port)").replacingOccurrences(of: "PATH", with: path))

            """
        try folder.write("haproxy.cfg", configuration)
        process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "exec haproxy -db -f $0/haproxy.cfg > $0/output 2>&1", path],
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
        try waitUntil("HAProxy on port \(port)") { (try? Connection(to: port, nil)) != nil }
    }

    /// One that passes TCP connections on to `server`, as those of `client`.
    ///
    /// - Parameter options: how it tells whose a connection is, such as `send-proxy`.
    public convenience init(_ trust: TestTrust, to server: UInt16, client: String? = nil, _ options: String) throws {
        let source = client.map { "tcp-request connection set-src str(\($0))" } ?? ""
        try self.init(
            trust,
            """
            listen pass
              mode tcp
              bind 127.0.0.1:PORT
              \(source)
              server s 127.0.0.1:\(server) \(options)
            """
        )
    }

    deinit {
        kill(process, SIGKILL)
        _ = ChildProcess.wait(for: process)
    }
}
