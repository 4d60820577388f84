import Foundation
import Platform
import Support
import TLS
import Testing

/// The same folder served by nginx and by everyhop, asked the same.
@Suite("Files beside nginx") struct FilesBesideNginxTests {
    private struct Server {
        let connect: () throws -> Connection
        let tag: String

        init(_ connect: @escaping () throws -> Connection) throws {
            self.connect = connect
            tag = try Self.ask(connect, "GET", "/ten.txt", [])["etag"] ?? ""
        }

        func ask(_ method: String, _ path: String, _ fields: [String]) throws -> HTTP2Peer.Answer {
            try Self.ask(connect, method, path, fields.map { $0.replacingOccurrences(of: "TAG", with: tag) })
        }

        private static func ask(
            _ connect: () throws -> Connection,
            _ method: String,
            _ path: String,
            _ fields: [String]
        ) throws -> HTTP2Peer.Answer {
            let connection = try connect()
            let lines = fields.map { "\($0)\r\n" }.joined()
            try connection.send("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(lines)\r\n")
            let peer = HTTP1Peer(connection)
            peer.answersHead = method == "HEAD"
            try peer.receive { $0.message.isWhole }
            return peer.message
        }
    }

    private static let old = "Thu, 01 Jan 2015 00:00:00 GMT"
    private static let date = "Tue, 02 Jun 2020 03:04:05 GMT"
    private static let new = "Fri, 03 Jan 2025 00:00:00 GMT"

    private static let same: [(String, String, [String])] = [
        ("GET", "/", []), ("HEAD", "/", []), ("GET", "/ten.txt", []), ("HEAD", "/ten.txt", []),
        ("GET", "/nothing.css", []), ("GET", "/nope", []), ("GET", "/ten.txt/", []), ("GET", "/sub", []),
        ("HEAD", "/sub", []), ("GET", "/sub/", []), ("GET", "/%74en.txt", []), ("GET", "/a%20b;c=1%C3%A9.json", []),
        ("GET", "/ten.txt?x=1", []), ("GET", "/%", []), ("GET", "/ten.txt%00", []), ("GET", "/../ten.txt", []),
        ("POST", "/ten.txt", ["Content-Length: 0"]), ("PUT", "/ten.txt", ["Content-Length: 0"]),
        ("DELETE", "/ten.txt", []),
        ("GET", "/ten.txt", ["If-None-Match: TAG"]), ("GET", "/ten.txt", ["If-None-Match: W/TAG"]),
        ("GET", "/ten.txt", ["If-None-Match: \"x\""]), ("GET", "/ten.txt", ["If-None-Match: *"]),
        ("GET", "/ten.txt", ["If-None-Match: \"x\", TAG"]), ("HEAD", "/ten.txt", ["If-None-Match: TAG"]),
        ("GET", "/ten.txt", ["If-Match: TAG"]), ("GET", "/ten.txt", ["If-Match: \"x\""]),
        ("GET", "/ten.txt", ["If-Match: *"]),
        ("GET", "/ten.txt", ["If-Unmodified-Since: \(old)"]), ("GET", "/ten.txt", ["If-Unmodified-Since: \(date)"]),
        ("GET", "/ten.txt", ["If-Unmodified-Since: \(new)"]),
        ("GET", "/ten.txt", ["If-Modified-Since: \(date)"]), ("GET", "/ten.txt", ["If-Modified-Since: \(old)"]),
        ("GET", "/ten.txt", ["If-None-Match: \"x\"", "If-Modified-Since: \(date)"]),
        ("GET", "/ten.txt", ["If-Match: \"x\"", "If-None-Match: TAG"]),
        ("GET", "/ten.txt", ["Range: bytes=0-4"]), ("GET", "/ten.txt", ["Range: bytes=5-"]),
        ("GET", "/ten.txt", ["Range: bytes=-3"]), ("GET", "/ten.txt", ["Range: bytes=-30"]),
        ("GET", "/ten.txt", ["Range: bytes=0-400"]), ("GET", "/ten.txt", ["Range: bytes=9-9"]),
        ("GET", "/ten.txt", ["Range: bytes=10-"]), ("GET", "/ten.txt", ["Range: bytes=20-30"]),
        ("GET", "/ten.txt", ["Range: lines=0-4"]), ("GET", "/ten.txt", ["Range: bytes=0-4", "If-Range: TAG"]),
        ("GET", "/ten.txt", ["Range: bytes=0-4", "If-Range: \"x\""]),
        ("GET", "/ten.txt", ["Range: bytes=0-4", "If-Range: \(date)"]),
        ("GET", "/ten.txt", ["Range: bytes=0-4", "If-Range: \(old)"]),
        ("GET", "/ten.txt", ["Range: bytes=0-4", "If-None-Match: TAG"]),
        ("GET", "/ten.txt", ["Range: bytes=0-9,0-9"]), ("GET", "/ten.txt", ["Range: bytes=0-1,8-9"]),
    ]

    /// Where everyhop answers otherwise, on purpose: the statuses of nginx and of everyhop.
    private static let different: [(String, String, [String], Int, Int)] = [
        // No folder tells what is in it, or that it is there.
        ("GET", "/empty/", [], 403, 404),
        ("GET", "/.htpasswd", [], 200, 404), ("GET", "/.git/config", [], 200, 404),
        // One path has one spelling.
        ("GET", "//ten.txt", [], 200, 404), ("GET", "/sub/../ten.txt", [], 200, 400),
        ("GET", "/sub%2findex.html", [], 200, 400), ("GET", "/./ten.txt", [], 200, 400),
        ("GET", "/a\\b", [], 404, 400),
        // RFC 9110 §14.2: a range has a meaning for GET only, and a malformed one has none.
        ("HEAD", "/ten.txt", ["Range: bytes=0-4"], 206, 200), ("GET", "/ten.txt", ["Range: bytes=4-2"], 416, 200),
        ("GET", "/ten.txt", ["Range: bytes=x"], 416, 200),
        // RFC 9110 §13.1.3: a later date is no other version.
        ("GET", "/ten.txt", ["If-Modified-Since: \(new)"], 200, 304),
        ("OPTIONS", "/ten.txt", [], 405, 204),
    ]

    @Test func `statuses and heads agree, but for a list of cases`() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let trust = try TestTrust()
        let folder = try TemporaryFolder()
        try trust.write(to: folder)
        let site = try FileSite(trust, folder)
        let nginx = try Nginx(trust)
        try FileSite.fill("\(nginx.folder.path)/www")
        for www in [site.www, "\(nginx.folder.path)/www"] {
            #expect(try Shell.run(["find", www, "-exec", "touch", "-d", Self.date, "{}", "+"]).status == 0)
        }
        let ours = try Server { try Connection(to: site.everyhop.port, trust.client()) }
        let theirs = try Server { try Connection(to: nginx.port, trust.client(name: "app.internal")) }
        for (method, path, fields) in Self.same {
            let asked = "\(method) \(path) \(fields)"
            let one = try ours.ask(method, path, fields)
            let other = try theirs.ask(method, path, fields)
            #expect(one.status == other.status, "\(asked)")
            guard one.status < 400 else { continue }
            // nginx tells Accept-Ranges beside the whole only.
            let names = ["last-modified", "content-range"] + (one.status == 200 ? ["accept-ranges"] : [])
            for name in names where one.status != 301 {
                #expect(one[name] == other[name], "\(asked): \(name)")
            }
            #expect((one["etag"] == nil) == (other["etag"] == nil), "\(asked)")
            if one["content-type"]?.hasPrefix("multipart/byteranges; boundary=") == true {
                #expect(other["content-type"]?.hasPrefix("multipart/byteranges; boundary=") == true, "\(asked)")
            } else if one.status != 301 {
                #expect(one["content-length"] == other["content-length"] && one.body == other.body, "\(asked)")
            } else {
                #expect(other["location"]?.hasSuffix("://localhost:\(nginx.port)\(one["location"] ?? "")") == true)
            }
        }
        for (method, path, fields, status, own) in Self.different {
            #expect(try theirs.ask(method, path, fields).status == status, "nginx: \(method) \(path) \(fields)")
            #expect(try ours.ask(method, path, fields).status == own, "\(method) \(path) \(fields)")
        }
    }
}
