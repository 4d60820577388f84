import Foundation
import Platform
import Support
import TLS

/// A site that is a folder, with some files in it.
struct FileSite {
    static let page = "<h1>Home</h1>\n"
    static let ten = "0123456789"

    let routed: Routed
    let www: String

    var everyhop: EveryhopProcess { routed.everyhop }

    /// - Parameters:
    ///   - encrypted: the folder, which is encrypted; nil for one in plain.
    ///   - site: further keys of the site.
    ///   - routes: tables below the site.
    ///   - server: further keys of the server.
    init(
        _ trust: TestTrust,
        _ folder: TemporaryFolder,
        apps: [AppServer] = [],
        encrypted: String? = nil,
        site: String = "",
        routes: String = "",
        server: String = ""
    ) throws {
        www = encrypted ?? "\(folder.path)/www"
        try Self.fill(www)
        routed = try Routed(
            trust,
            folder,
            apps,
            site: (encrypted.map { "root = \"\($0)\"\n" } ?? "root = \"www\"\nplaintext_root = true\n") + site,
            routes: routes,
            server: server
        )
    }

    /// What tests ask for.
    static func fill(_ www: String) throws {
        for path in ["", "/sub", "/empty", "/.git", "/sub/deep"] { try Self.make("\(www)\(path)") }
        try write(page, "\(www)/index.html")
        try write("sub", "\(www)/sub/index.html")
        try write(ten, "\(www)/ten.txt")
        try write("", "\(www)/nothing.css")
        try write("odd", "\(www)/a b;c=1\u{e9}.json")
        try write("secret", "\(www)/.htpasswd")
        try write("secret", "\(www)/.git/config")
        try write("raw", "\(www)/README")
        try write("%2e", "\(www)/%2e")
    }

    static func make(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    static func write(_ text: String, _ path: String) throws {
        try File.write(Array(text.utf8), to: path, mode: 0o644)
    }

    /// Bytes of which no two blocks are alike.
    static func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ $0 >> 16) }
    }

    /// The most memory that the worker has had, in KiB.
    func peakMemory() throws -> Int {
        let worker = try everyhop.workers()[0]
        let text = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }
}
