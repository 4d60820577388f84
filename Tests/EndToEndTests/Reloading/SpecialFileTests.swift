import Foundation
import Platform
import Support
import Testing

/// Pipes and devices where the configuration names files.
@Suite("Special files in the configuration", .serialized) struct SpecialFileTests {
    let supervised: Supervised
    var folder: TemporaryFolder { supervised.folder }

    init() throws {
        supervised = try Supervised()
        #expect(mkfifo("\(supervised.folder.path)/pipe", 0o600) == 0)
    }

    private func check(_ file: String) throws -> ProgramResult {
        try Shell.run([EveryhopProcess.program, "check", "--config", "\(folder.path)/\(file)"], merged: true)
    }

    private func configuration(_ more: String) throws -> String {
        try supervised.reloaded.trust.configuration(port: supervised.reloaded.port, upstream: 9, more: more)
    }

    @Test(arguments: ["pipe", "/dev/zero"])
    func `each is told of with its place, at once`(_ path: String) throws {
        let lines = [
            ("chain = \"portal.pem\"", "chain = \"\(path)\""), ("key = \"portal.key\"", "key = \"\(path)\""),
            ("ca = \"authority.pem\"", "ca = \"\(path)\""),
        ]
        var text = try configuration("[tls.tickets]\nkeys = \"\(path)\"\n[audit]\nclients_trust = \"\(path)\"\n")
        for (old, new) in lines {
            #expect(text.contains(old), "\(old)\n\(text)")
            text = text.replacingOccurrences(of: old, with: new)
        }
        try folder.write("special.toml", text)
        let result = try check("special.toml")
        let kind = path == "pipe" ? "a pipe" : "a device"
        #expect(result.status == 1)
        for name in ["chain", "key", "ca", "keys", "clients_trust"] {
            #expect(
                result.text.contains("error: \(name) \"\(path)\" cannot be read: it is \(kind), not a file\n"),
                "\(name):\n\(result.text)"
            )
        }
    }

    @Test func `a reload is refused at once, and the present configuration goes on`() throws {
        let everyhop = try supervised.start()
        let file = "\(folder.path)/everyhop.toml"
        try File.rename(file, to: "\(file).old")
        #expect(mkfifo(file, 0o600) == 0)
        let result = try supervised.reloaded.reload()
        #expect(result.status == 1)
        #expect(
            result.text.contains("everyhop.toml: error: cannot be read: it is a pipe, not a file"),
            "\(result.text)"
        )
        try File.rename("\(file).old", to: file)
        try supervised.change("authority.pem", to: "pipe")
        let second = try supervised.reloaded.reload()
        #expect(second.status == 1)
        #expect(second.text.contains("ca \"pipe\" cannot be read: it is a pipe, not a file"), "\(second.text)")
        #expect(supervised.isServed, "\(everyhop.log)")
    }

    @Test func `a person may have a pipe checked`() throws {
        try folder.write("everyhop.toml", try configuration(""))
        let result = try Shell.run(
            [
                "/bin/sh", "-c", "cd \"$1\"; cat everyhop.toml > pipe & exec \"$0\" check --config pipe",
                EveryhopProcess.program, folder.path,
            ],
            merged: true
        )
        #expect(result.status == 0 && result.text.hasSuffix("pipe: good\n"), "\(result.text)")
        let device = try Shell.run([EveryhopProcess.program, "check", "--config", "/dev/zero"], merged: true)
        #expect(
            device.status == 1 && device.text.contains("cannot be read: it is a device, not a file"),
            "\(device.text)"
        )
    }
}
