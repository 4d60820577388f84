import Foundation
import Platform
import TLS

/// Let's Encrypt's test authority, on ports of its own, with a name server that leads every name to this host.
public final class Pebble {
    /// Where its directory is.
    public var directory: String { "https://localhost:\(port)/dir" }
    /// Where it looks for http-01.
    public let httpPort: UInt16
    /// Where it looks for tls-alpn-01.
    public let tlsPort: UInt16
    /// The key that `eab` wants, when it demands one, and how it calls it.
    public static let external = (
        name: "kid-1", key: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    )
    private let folder: TemporaryFolder
    private let port: UInt16
    private let management: UInt16
    private var processes: [Int32] = []

    /// Starts it and waits until it answers; its own certificate is the trust's for localhost.
    ///
    /// - Parameters:
    ///   - seconds: how long its certificates are valid.
    ///   - refusedNonces: of a hundred nonces.
    ///   - demandsExternal: whether accounts have to be tied to others.
    public init(_ trust: TestTrust, seconds: Int = 86_400, refusedNonces: Int = 0, demandsExternal: Bool = false) throws
    {
        folder = try TemporaryFolder()
        (port, management) = (try freePort(), try freePort())
        (httpPort, tlsPort) = (try freePort(), try freePort())
        let names = try freePort()
        try trust.write(to: folder)
        try folder.write(
            "pebble.json",
            """
            {"pebble": {"listenAddress": "127.0.0.1:\(port)", "managementListenAddress": "127.0.0.1:\(management)",
            "certificate": "\(folder.path)/portal.pem", "privateKey": "\(folder.path)/portal.key",
            "httpPort": \(httpPort), "tlsPort": \(tlsPort), "certificateValidityPeriod": \(seconds),
            "domainBlocklist": ["refused.example.org"],
            "externalAccountBindingRequired": \(demandsExternal),
            "externalAccountMACKeys": {"\(Self.external.name)": "\(Self.external.key)"}}}
            """
        )
        try start(
            "pebble-challtestsrv",
            "-defaultIPv4 127.0.0.1 -defaultIPv6 '' -dns01 127.0.0.1:\(names) -http01 '' -https01 '' -tlsalpn01 '' -management ''"
        )
        try start(
            "pebble",
            "-config \(folder.path)/pebble.json -dnsserver 127.0.0.1:\(names)",
            ["PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=\(refusedNonces)", "PEBBLE_AUTHZREUSE=0"]
        )
        let context = try trust.client()
        try waitUntil("pebble:\n\(log)") { (try? Connection(to: port, context)) != nil }
    }

    deinit {
        for process in processes {
            kill(process, SIGKILL)
            _ = ChildProcess.wait(for: process)
        }
    }

    /// What it has logged.
    public var log: String { (try? String(decoding: File.read("\(folder.path)/log"), as: UTF8.self)) ?? "" }

    /// How many certificates it has issued.
    public var issued: Int { log.components(separatedBy: "Issued certificate").count - 1 }

    private func start(_ program: String, _ arguments: String, _ environment: [String] = []) throws {
        processes.append(
            try ChildProcess.spawn(
                "/bin/sh",
                arguments: [
                    "sh", "-c", "exec \(try Shell.find(program)) \(arguments) >> \(folder.path)/log 2>&1",
                ],
                environment: ChildProcess.currentEnvironment() + environment,
                descriptors: []
            )
        )
    }
}
