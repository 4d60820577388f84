import Foundation
import Platform
public import TLS

/// everyhop as a user runs it, on ports of its own.
public final class EveryhopProcess {
    /// The folder of its configuration.
    public let folder: TemporaryFolder
    /// The port of its binding.
    public let port: UInt16
    /// The master's process id.
    public let process: Int32
    private var status: Int?

    /// The program, beside the tests; EVERYHOP names another build to test, such as the release.
    public static var program: String {
        if let named = ProcessInfo.processInfo.environment["EVERYHOP"] { return named }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return String(tests[..<(tests.lastIndex(of: "/") ?? tests.endIndex)]) + "/everyhop"
    }

    /// Starts it and waits until it serves.
    ///
    /// - Parameters:
    ///   - configuration: relative paths in it are relative to the folder.
    ///   - prefix: what it is started with, such as another network.
    public init(_ folder: TemporaryFolder, port: UInt16, configuration: String, prefix: [String] = []) throws {
        self.folder = folder
        self.port = port
        let file = try folder.write("everyhop.toml", configuration)
        process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: [
                "sh", "-c", "exec \(prefix.joined(separator: " ")) \"$0\" run --config \"$1\" 2>> \"$2\" >> \"$3\"",
                Self.program, file, "\(folder.path)/log", "\(folder.path)/access",
            ],
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
        try waitForLog("ready")
    }

    deinit {
        guard status == nil else { return }
        kill(process, SIGKILL)
        _ = ChildProcess.wait(for: process)
    }

    /// What it has logged.
    public var log: String { (try? String(decoding: File.read("\(folder.path)/log"), as: UTF8.self)) ?? "" }

    /// The access log's lines.
    public var access: [String] {
        let text = (try? String(decoding: File.read("\(folder.path)/access", limit: 1 << 30), as: UTF8.self)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    /// Waits until the log has a text, so many times.
    public func waitForLog(_ text: String, count: Int = 1) throws {
        try waitUntil("\"\(text)\" in the log:\n\(log)") {
            if let ended = ChildProcess.reap(process) {
                status = ended.status
                throw DeadlinePassed(description: "everyhop ended with \(ended.status):\n\(log)")
            }
            return log.components(separatedBy: text).count > count
        }
    }

    /// Waits for an access log line that holds all of the texts.
    public func waitForAccess(_ texts: String...) throws {
        try waitUntil("\(texts) in the access log:\n\(access.suffix(5).joined(separator: "\n"))\n\(log)") {
            access.contains { line in texts.allSatisfy { line.contains($0) } }
        }
    }

    /// Sends a signal to the master.
    public func signal(_ number: Int32) { kill(process, number) }

    /// Its exit status, once it has ended.
    public func waitForEnd() throws -> Int {
        try waitUntil("the end of everyhop:\n\(log)") {
            if status == nil { status = ChildProcess.reap(process)?.status }
            return status != nil
        }
        return status ?? -1
    }

    /// The process ids of its workers.
    public func workers() throws -> [Int32] {
        let result = try Shell.run(["ps", "--ppid", "\(process)", "-o", "pid=,args="])
        return result.text.split(separator: "\n").filter { $0.hasSuffix("everyhop worker") }
            .compactMap { Int32($0.split(separator: " ")[0]) }
    }
}

/// Certificates and trust that most tests share.
public struct TestTrust: Sendable {
    /// Signs both certificates.
    public let authority: CertificateMaker.Issued
    /// For clients: localhost.
    public let portal: CertificateMaker.Issued
    /// For servers: app.internal.
    public let app: CertificateMaker.Issued

    /// Makes all three.
    public init() throws {
        authority = try CertificateMaker.authority(name: "test authority")
        portal = try CertificateMaker.issue(names: ["localhost", "127.0.0.1"], by: authority)
        app = try CertificateMaker.issue(names: ["app.internal"], by: authority)
    }

    /// The same authority and client side, with servers that show another certificate.
    public init(_ trust: TestTrust, serverShows app: CertificateMaker.Issued) {
        authority = trust.authority
        portal = trust.portal
        self.app = app
    }

    /// The pin of the server's key.
    public func pin(of issued: CertificateMaker.Issued? = nil) throws -> String {
        try CertificateFacts.read(pem: (issued ?? app).certificatePEM)[0].pin.description
    }

    /// Writes all of it into a folder.
    public func write(to folder: TemporaryFolder) throws {
        try folder.write("authority.pem", authority.certificatePEM)
        try folder.write("portal.pem", portal.certificatePEM)
        try folder.write("portal.key", portal.keyPEM)
        try folder.write("app.pem", app.certificatePEM)
        try folder.write("app.key", app.keyPEM)
    }

    /// A context for dialling everyhop as a client.
    public func client(name: String = "localhost", alpn: String = "http/1.1") throws -> ClientContext {
        try ClientContext(
            trust: ClientContext.Trust(authoritiesPEM: authority.certificatePEM, pins: []),
            name: name,
            policy: .nist80052r2,
            alpn: [alpn]
        )
    }

    /// A configuration of databases, without a site.
    public func configuration(databases: String) -> String {
        """
        [server]
        workers = 1
        drain = "5s"
        [log]
        access = "stdout"
        level = "debug"
        [certificate.portal]
        chain = "portal.pem"
        key = "portal.key"
        \(databases)
        """
    }

    /// A usual configuration: one site, one binding, one upstream.
    public func configuration(
        port: UInt16,
        upstream: UInt16,
        server: String = "",
        trust: String? = nil,
        serverName: String = "app.internal",
        more: String = "",
        upstreamMore: String = ""
    ) throws -> String {
        """
        [server]
        workers = 1
        drain = "5s"
        \(server)
        [log]
        access = "stdout"
        level = "debug"
        [certificate.portal]
        chain = "portal.pem"
        key = "portal.key"
        [[site]]
        name = "portal"
        upstream = "app"
        [[site.binding]]
        ip = "127.0.0.1"
        port = \(port)
        certificate = "portal"
        [[upstream]]
        name = "app"
        servers = ["127.0.0.1:\(upstream)"]
        server_name = "\(serverName)"
        trust = \(try trust ?? "{ ca = \"authority.pem\", pins = [\"\(pin())\"] }")
        \(upstreamMore)
        \(more)
        """
    }
}

/// nginx as an HTTPS server on a port of its own.
public final class Nginx {
    /// Where it listens.
    public let port: UInt16
    /// Its folder; `www` in it is served.
    public let folder: TemporaryFolder
    private let process: Int32

    /// Starts it and waits until it answers.
    ///
    /// - Parameters:
    ///   - more: further directives of the server; PATH stands for its folder.
    ///   - listen: parameters of its listening socket.
    ///   - protocols: versions of TLS, as `ssl_protocols` takes them, and what else belongs to them.
    ///   - prefix: what it is started with, such as another network where `address` is.
    public init(
        _ trust: TestTrust,
        more: String = "",
        listen: String = "ssl",
        protocols: String = "TLSv1.2 TLSv1.3",
        address: String = "127.0.0.1",
        prefix: [String] = []
    ) throws {
        folder = try TemporaryFolder()
        port = try freePort()
        try trust.write(to: folder)
        try File.makeFolder("\(folder.path)/www")
        chmod(folder.path, 0o755)
        chmod("\(folder.path)/www", 0o755)
        let path = folder.path
        try folder.write(
            "nginx.conf",
            """
            daemon off; pid \(path)/pid; error_log \(path)/error.log; worker_processes 1; user root;
            events { worker_connections 8192; }
            http {
              access_log off; client_max_body_size 0; keepalive_requests 1000000;
              client_body_temp_path \(path)/body; proxy_temp_path \(path)/proxy;
              fastcgi_temp_path \(path)/f; uwsgi_temp_path \(path)/u; scgi_temp_path \(path)/s;
              server {
                listen \(address):\(port) \(listen) backlog=8192;
                ssl_certificate \(path)/app.pem; ssl_certificate_key \(path)/app.key;
                ssl_protocols \(protocols);
                \(more.replacingOccurrences(of: "PATH", with: path))
                location / { root \(path)/www; }
                location /headers { return 200 "for=$http_x_forwarded_for proto=$http_x_forwarded_proto host=$http_host via=$http_via id=$http_x_request_id\\n"; }
                location /upload { root \(path)/www; client_body_in_file_only clean; proxy_pass http://127.0.0.1:1; }
              }
            }
            """
        )
        let command = prefix + ["nginx", "-p", path, "-c", "\(path)/nginx.conf", "-e", "\(path)/error.log"]
        process = try ChildProcess.spawn(
            try Shell.find(command[0]),
            arguments: command,
            environment: prefix.isEmpty ? [] : ChildProcess.currentEnvironment(),
            descriptors: []
        )
        let port = self.port
        try waitUntil("nginx on port \(port)") {
            guard let ip = SocketAddress(ip: address, port: port), let attempt = try? Socket.connect(to: ip) else {
                return false
            }
            if case .connected = attempt.progress { return true }
            var entry = pollfd(fd: attempt.descriptor.raw, events: Int16(POLLOUT), revents: 0)
            return poll(&entry, 1, 100) == 1 && (try? Socket.connectResult(attempt.descriptor)) != nil
        }
    }

    deinit {
        kill(process, SIGTERM)
        _ = ChildProcess.wait(for: process)
    }
}
