import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Packaging") struct PackagingTests {
    private static let root = #filePath.components(separatedBy: "/Tests/EndToEndTests/")[0]
    private let packaging = "\(root)/packaging"

    private func text(_ path: String) throws -> String {
        String(decoding: try File.read("\(packaging)/\(path)"), as: UTF8.self)
    }

    private func check(_ configuration: String, _ folder: TemporaryFolder) throws -> ProgramResult {
        let file = try folder.write("everyhop.toml", configuration)
        return try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
    }

    @Test func `the configuration that is installed is good, and is on this host alone`() throws {
        let folder = try TemporaryFolder()
        let configuration = try text("everyhop.toml").replacingOccurrences(of: "\"everyhop\"\n", with: "\"nobody\"\n")
            .replacingOccurrences(of: "/var/log/everyhop", with: folder.path)
        let result = try check(configuration, folder)
        #expect(result.status == 0, "\(result.text)")
        let lines = configuration.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.filter { $0.hasPrefix("ip = ") } == ["ip = \"127.0.0.1\""])
    }

    @Test func `every commented line of it is one when it is not`() throws {
        let folder = try TemporaryFolder()
        let trust = try TestTrust()
        try trust.write(to: folder)
        let whole = try text("everyhop.toml").split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in
                let code = line.dropFirst(2)
                let isCode = line.hasPrefix("# ") && (code.hasPrefix("[") || code.contains(" = "))
                return isCode ? String(code) : String(line)
            }
            .joined(separator: "\n")
            .replacingOccurrences(of: "\"everyhop\"\n", with: "\"nobody\"\n")
            .replacingOccurrences(of: "/var/log/everyhop", with: folder.path)
            .replacingOccurrences(of: "/etc/everyhop/internal-ca.pem", with: "\(folder.path)/authority.pem")
            .replacingOccurrences(of: "/etc/everyhop", with: folder.path)
            .replacingOccurrences(of: "sha256/...", with: try trust.pin())
            .replacingOccurrences(of: "portal.example.org", with: "localhost")
        let result = try check(whole, folder)
        // Warnings are no obstacle.
        #expect(result.status == 0, "\(result.text)\n\(whole)")
    }

    @Test func `the unit is good, and exposes little`() throws {
        let folder = try TemporaryFolder()
        // The program and its manual are not installed here.
        let unit = try text("everyhop.service").replacingOccurrences(of: "/usr/bin/everyhop", with: "/bin/true")
            .split(separator: "\n").filter { !$0.hasPrefix("Documentation=") }.joined(separator: "\n")
        let file = try folder.write("everyhop.service", unit)
        let socket = try text("everyhop.socket").split(separator: "\n").filter { !$0.hasPrefix("Documentation=") }
        let other = try folder.write("everyhop.socket", socket.joined(separator: "\n"))
        let verified = try Shell.run(["systemd-analyze", "verify", "--man=no", file, other], merged: true)
        #expect(verified.status == 0 && verified.text.isEmpty, "\(verified.text)")
        let score = try Shell.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=26", "--no-pager", file],
            merged: true
        )
        #expect(score.status == 0, "\(score.text)")
    }

    @Test func `maintainer scripts are shell, and name only files that are installed`() throws {
        for script in ["postinst", "prerm", "postrm"] {
            #expect(try Shell.run(["sh", "-n", "\(packaging)/debian/\(script)"], merged: true).text == "")
        }
        let package = String(decoding: try File.read("\(Self.root)/Scripts/deb.sh"), as: UTF8.self)
        for name in ["service", "sysusers", "tmpfiles", "logrotate", "toml", "8", "socket", "docroot.conf"] {
            #expect(package.contains("packaging/everyhop.\(name)"), "\(name)")
            #expect(File.exists("\(packaging)/everyhop.\(name)"))
        }
    }

    @Test func `an upgrade of the package waits for the program's own, and says why there is none`() throws {
        let folder = try TemporaryFolder()
        for name in ["systemctl", "systemd-sysusers", "systemd-tmpfiles", "deb-systemd-helper", "deb-systemd-invoke"] {
            chmod(try folder.write(name, "#!/bin/sh\nexit 0\n"), 0o755)
        }
        let stub = "#!/bin/sh\necho \"asked: $*\"; echo \"it does not serve\" >&2\nexit 1\n"
        chmod(try folder.write("everyhop", stub), 0o755)
        let script = try text("debian/postinst").replacingOccurrences(of: "/run/systemd/system", with: folder.path)
        let file = try folder.write("postinst", script)
        let path = "PATH=\(folder.path):/usr/bin:/bin"
        let result = try Shell.run(["env", path, "sh", file, "configure", "0.9"], merged: true)
        #expect(result.status == 0 && result.text.contains("asked: upgrade --config /etc/everyhop/everyhop.toml"))
        #expect(result.text.contains("it does not serve") && result.text.contains("the running program goes on"))
    }

    @Test func `keepalived understands its example`() throws {
        let folder = try TemporaryFolder()
        // The keepalived of Debian 12 ends its own check with SIGTERM where scripts do not run as root.
        let configuration = try text("keepalived.conf").replacingOccurrences(of: "/usr/bin/everyhop", with: "/bin/true")
            .replacingOccurrences(of: "script_user nobody", with: "script_user root")
        let file = try folder.write("keepalived.conf", configuration)
        let result = try Shell.run(["keepalived", "-t", "-l", "-f", file], merged: true)
        #expect(result.status == 0 && result.text.isEmpty, "\(result.text)")
    }

    @Test func `Kubernetes' manifests fit together, under the restricted profile`() throws {
        let peers = "\(Self.root)/Tests/Peers/check_manifests.py"
        #expect(try Shell.run(["python3", peers, "\(packaging)/kubernetes"], merged: true).text == "")
        let folder = try TemporaryFolder()
        let trust = try TestTrust()
        for name in ["portal", "tickets", "trust"] { try File.makeFolder("\(folder.path)/\(name)") }
        try folder.write("portal/tls.crt", trust.portal.certificatePEM)
        try folder.write("portal/tls.key", trust.portal.keyPEM)
        try folder.write("tickets/ticket.keys", [UInt8](repeating: 7, count: 240))
        try folder.write("trust/internal-ca.pem", trust.authority.certificatePEM)
        let configuration = try Shell.run(["python3", peers, "\(packaging)/kubernetes", "--config"]).text
            .replacingOccurrences(of: "/etc/everyhop", with: folder.path)
        let result = try check(configuration, folder)
        #expect(result.status == 0, "\(result.text)")
    }

    @Test func `the recipe for ticket keys makes the next key the present one, and keeps the one before`() throws {
        let recipe = String(decoding: try File.read("\(Self.root)/docs/scale.md"), as: UTF8.self)
        let lines = recipe.split(separator: "\n").map(String.init)
        let first = try #require(lines.first { $0.hasPrefix("openssl rand 240") })
        let rotation = try #require(lines.first { $0.hasPrefix("{ tail -c 80") })
        let rename = try #require(lines.first { $0.hasPrefix("mv ticket.keys.new") })
        let folder = try TemporaryFolder()
        func run(_ line: String) throws -> [UInt8] {
            let result = try Shell.run(["sh", "-ec", "cd \(folder.path)\n\(line)"], merged: true)
            #expect(result.status == 0, "\(result.text)")
            return try File.read("\(folder.path)/ticket.keys")
        }
        let before = try run(first)
        let after = try run("\(rotation)\n\(rename)")
        #expect(before.count == 240 && after.count == 240)
        #expect(after[..<80] == before[160...] && after[80..<160] == before[..<80])
        #expect(after[160...] != before[160...])
    }
}
