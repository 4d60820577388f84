import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Approved cryptography only") struct FIPSTests {
    /// A configuration of OpenSSL that has the FIPS provider, where one is installed; named by EVERYHOP_FIPS.
    static let configuration = ProcessInfo.processInfo.environment["EVERYHOP_FIPS"]

    private func write(_ folder: TemporaryFolder, port: UInt16, upstream: UInt16) throws -> String {
        let trust = try TestTrust()
        try trust.write(to: folder)
        return "[tls]\nfips = true\n" + (try trust.configuration(port: port, upstream: upstream))
    }

    @Test func `without the provider nothing starts, and what is missing is told`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("everyhop.toml", try write(folder, port: try freePort(), upstream: 1))
        // Whatever this host has: with modules from nowhere, there is no provider.
        for (command, status) in [("check", 1), ("run", 2)] {
            let result = try Shell.run(
                ["env", "OPENSSL_MODULES=/nowhere", EveryhopProcess.program, command, "--config", file],
                merged: true
            )
            #expect(result.status == status)
            #expect(result.text.contains("everyhop.toml:2:8: error: fips: OpenSSL's FIPS provider cannot be used"))
            #expect(result.text.contains("openssl fipsinstall"), "\(result.text)")
        }
    }

    @Test func `a library without algorithms is told of, not tripped over`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("everyhop.toml", try write(folder, port: try freePort(), upstream: 1))
        let empty = try folder.write(
            "openssl.cnf",
            "openssl_conf = a\n[a]\nproviders = b\n[b]\nbase = c\n[c]\nactivate = 1\n"
        )
        let result = try Shell.run(
            ["env", "OPENSSL_CONF=\(empty)", EveryhopProcess.program, "check", "--config", file],
            merged: true
        )
        #expect(result.status == 1)
        #expect(result.text.contains("everyhop.toml: error: OpenSSL has no SHA-256"), "\(result.text)")
    }

    @Test(.enabled(if: configuration != nil)) func `with it, approved suites and groups alone are spoken`() throws {
        let folder = try TemporaryFolder()
        let trust = try TestTrust()
        let app = try AppServer("app", certificate: trust.app)
        try trust.write(to: folder)
        let port = try freePort()
        setenv("OPENSSL_CONF", Self.configuration ?? "", 1)
        defer { unsetenv("OPENSSL_CONF") }
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: "[tls]\nfips = true\npolicy = \"modern\"\n"
                + (try trust.configuration(port: port, upstream: app.port))
        )
        unsetenv("OPENSSL_CONF")
        try everyhop.waitForLog("FIPS")
        func connect(_ more: String...) throws -> String {
            try Shell.run(
                [
                    "sh", "-c", "timeout 20 openssl s_client \"$@\" 2>&1 < /dev/null", "sh", "-connect",
                    "127.0.0.1:\(port)",
                ]
                    + more
            ).text
        }
        #expect(try connect("-groups", "P-256").contains("TLS_AES_128_GCM_SHA256"))
        #expect(try connect("-groups", "X25519").contains("handshake failure"))
        #expect(try connect("-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256").contains("handshake failure"))
        let answer = try Shell.run([
            "curl", "-s", "-m", "20", "--cacert", "\(folder.path)/authority.pem", "https://localhost:\(port)/",
        ])
        #expect(answer.text == "app")
    }
}
