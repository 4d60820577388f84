import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Files of a folder") struct FilesTests {
    static let versions = ["--http1.1", "--http2"]
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    @Test(arguments: versions) func `files and indexes are served, and nothing else`(_ version: String) throws {
        let site = try FileSite(trust, folder)
        #expect(mkfifo("\(site.www)/pipe", 0o644) == 0)
        for (path, text) in [
            ("/", FileSite.page), ("/index.html", FileSite.page), ("/ten.txt?a=b", FileSite.ten), ("/sub/", "sub"),
            ("/%74en.txt", FileSite.ten), ("/a%20b;c=1%C3%A9.json", "odd"), ("/README", "raw"), ("/nothing.css", ""),
            ("/%252e", "%2e"),
        ] {
            #expect(try site.routed.curl(path, version: version) == text, "\(path)")
            #expect(try site.routed.status(path, version: version) == "200", "\(path)")
        }
        for path in [
            "/nope", "/empty/", "/sub/deep/", "/ten.txt/", "/ten.txt/x", "/.htpasswd", "/.git/config", "/.git",
            "/.git/",
            "/%2egit/config", "/sub/.x", "//ten.txt", "//", "/sub//index.html", "/ten.txt.", "/TEN.TXT", "/pipe",
            "/...", "/" + String(repeating: "x", count: 300), "/" + String(repeating: "a/", count: 3000),
            "/etc/passwd", "/~root", "/ten.txt%20",
        ] {
            #expect(try site.routed.status(path, version: version) == "404", "\(path.prefix(40))")
        }
        for path in [
            "/..", "/../etc/passwd", "/sub/../ten.txt", "/./ten.txt", "/%2e%2e/etc/passwd", "/sub/%2E./ten.txt",
            "/..%2f..%2fetc%2fpasswd", "/sub%2findex.html", "/ten.txt%00", "/ten.txt%00.html", "/sub\\index.html",
            "/..\\..\\etc\\passwd", "/%5c..%5c", "/%", "/%zz", "/%u002e%u002e/", "/ten%0a.txt",
        ] {
            #expect(try site.routed.status(path, version: version) == "400", "\(path)")
        }
        let absolute = try site.routed.curl("/", "--request-target", "/etc/../../etc/passwd", version: version)
        #expect(!absolute.contains("root:"))
    }

    @Test func `a file that was changed has another tag, whatever its time says`() throws {
        let site = try FileSite(trust, folder)
        let path = "\(site.www)/copied.txt"
        func tag() throws -> String? {
            let head = try site.routed.curl("/copied.txt", "-D", "-", "-o", "/dev/null").lowercased()
            return head.split(separator: "\r\n").first { $0.hasPrefix("etag:") }.map(String.init)
        }
        try LoopVolume.run(["sh", "-c", "printf one > \(path); touch -d @1000000000 \(path)"])
        let first = try #require(try tag())
        try LoopVolume.run(["sh", "-c", "printf two > \(path); touch -d @1000000000 \(path)"])
        #expect(try tag() != first)
    }

    @Test(arguments: versions) func `a folder without its slash is redirected`(_ version: String) throws {
        let site = try FileSite(trust, folder)
        for (path, location) in [("/sub", "/sub/"), ("/sub?a=b", "/sub/?a=b"), ("/%73ub", "/%73ub/")] {
            let head = try site.routed.curl(path, "-D", "-", "-o", "/dev/null", version: version).lowercased()
            #expect(head.contains(" 301") && head.contains("\r\nlocation: \(location)\r\n"), "\(head)")
        }
        #expect(try site.routed.curl("/sub", "-L", version: version) == "sub")
    }

    @Test(arguments: versions) func `methods other than GET and HEAD are refused`(_ version: String) throws {
        let site = try FileSite(trust, folder)
        for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            let answer = try site.routed.curl("/ten.txt", "-i", "-X", method, "-d", "x", version: version)
            #expect(answer.contains(" 405"), "\(method)")
            #expect(answer.lowercased().contains("\r\nallow: get, head, options\r\n"), "\(method)")
        }
        let options = try site.routed.curl("/ten.txt", "-i", "-X", "OPTIONS", version: version).lowercased()
        #expect(options.contains(" 204") && options.contains("\r\nallow: get, head, options\r\n"))
        let star = try site.routed.curl("/", "-i", "-X", "OPTIONS", "--request-target", "*", version: version)
        #expect(star.contains(" 204"))
        let head = try site.routed.curl("/ten.txt", "-I", version: version).lowercased()
        #expect(head.contains(" 200") && head.contains("\r\ncontent-length: 10\r\n"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: site.www).contains("ten.txt"))
    }

    @Test(arguments: versions) func `the site's rules hold for files`(_ version: String) throws {
        let site = try FileSite(
            trust,
            folder,
            site: """
                hsts = { max_age = "1d" }
                response_headers = { set = { X-Frame-Options = "DENY" }, remove = ["ETag"] }
                """,
            routes: """
                [[site.route]]
                path = "/private"
                root = "www/sub"
                plaintext_root = true
                deny = ["127.0.0.1"]
                [[site.route]]
                path = "/rare"
                root = "www/sub"
                plaintext_root = true
                response_headers = { set = { X-Frame-Options = "SAMEORIGIN" } }
                rate = { requests = 1, per = "minute", burst = 2 }
                """
        )
        let head = try site.routed.curl("/ten.txt", "-I", version: version).lowercased()
        for line in [
            "strict-transport-security: max-age=86400", "x-frame-options: deny", "content-type: text/plain",
            "x-content-type-options: nosniff", "accept-ranges: bytes",
        ] {
            #expect(head.components(separatedBy: "\r\n\(line)\r\n").count == 2, "\(line)")
        }
        // No server stands behind it.
        #expect(!head.contains("\r\netag:") && !head.contains("\r\nvia:"))
        #expect(head.contains("\r\ndate: ") && head.contains("\r\nx-request-id: "))
        let part = try site.routed.curl("/ten.txt", "-i", "-r", "2-4", version: version).lowercased()
        #expect(part.contains(" 206") && part.contains("x-frame-options: deny") && part.hasSuffix("\r\n\r\n234"))
        #expect(try site.routed.status("/private/", version: version) == "403")
        #expect(try site.routed.status("/PRIVATE/index.html", version: version) == "403")
        #expect(try site.routed.status("/private;x/index.html", version: version) == "403")
        let rare = try site.routed.curl("/rare/", "-i", version: version).lowercased()
        #expect(rare.contains("x-frame-options: sameorigin") && rare.hasSuffix("sub"))
        #expect(try site.routed.status("/rare/index.html", version: version) == "200")
        #expect(try site.routed.status("/rare/", version: version) == "429")
        try site.everyhop.waitForAccess(
            "\"path\":\"/ten.txt\"",
            "\"site\":\"portal\"",
            "\"root\":\"www\"",
            "\"status\":206",
            "\"bytes_out\":3"
        )
        try site.routed.waitForMetric("everyhop_file_requests_total 4")
    }

    @Test(arguments: versions) func `routes lead to folders and to servers`(_ version: String) throws {
        let apps = [try AppServer("app", certificate: trust.app)]
        let site = try FileSite(
            trust,
            folder,
            apps: apps,
            routes: """
                [[site.route]]
                path = "/api"
                upstream = "app"
                [[site.route]]
                path = "/static"
                root = "www"
                plaintext_root = true
                index = ["README", "index.html"]

                """
        )
        #expect(try site.routed.curl("/api/x", version: version) == "app")
        #expect(try site.routed.curl("/", version: version) == FileSite.page)
        #expect(try site.routed.curl("/static/", version: version) == "raw")
        #expect(try site.routed.curl("/STATIC/ten.txt", version: version) == FileSite.ten)
        #expect(try site.routed.curl("/static/sub/", version: version) == "sub")
        for path in ["/static;x/ten.txt", "/static./ten.txt", "/;/static/ten.txt", "/static//ten.txt"] {
            #expect(try site.routed.status(path, version: version) == "404", "\(path)")
        }
        let moved = try site.routed.curl("/static", "-i", version: version).lowercased()
        #expect(moved.contains("\r\nlocation: /static/\r\n"))
    }

    @Test func `links lead nowhere, or nowhere outside where they are followed`() throws {
        let outside = try folder.write("outside.txt", "outside")
        for (follows, inside) in [(false, "404"), (true, "200")] {
            let folder = try TemporaryFolder()
            try trust.write(to: folder)
            let site = try FileSite(trust, folder, site: follows ? "symlinks = true" : "")
            try File.write(Array("plain".utf8), to: "\(folder.path)/beside.txt", mode: 0o644)
            for (name, target) in [
                ("in.txt", "ten.txt"), ("sub/up.txt", "../ten.txt"), ("dir", "sub"), ("out.txt", outside),
                ("beside.txt", "../beside.txt"), ("sub/beside.txt", "../../beside.txt"), ("etc", "/etc"),
                ("proc", "/proc/self/root"), ("own.txt", "\(site.www)/ten.txt"), ("loop", "loop"),
                ("chain", "beside.txt"), ("up", ".."),
            ] { try FileManager.default.createSymbolicLink(atPath: "\(site.www)/\(name)", withDestinationPath: target) }
            for path in ["/in.txt", "/sub/up.txt", "/dir/", "/dir/index.html"] {
                #expect(try site.routed.status(path) == inside, "\(path) \(follows)")
            }
            for path in [
                "/out.txt", "/beside.txt", "/sub/beside.txt", "/etc/passwd", "/proc/etc/passwd", "/own.txt", "/loop",
                "/chain", "/up/beside.txt", "/up/www/ten.txt",
            ] {
                #expect(try site.routed.status(path) == "404", "\(path) \(follows)")
            }
        }
    }

    @Test func `another file system below the folder is not served`() throws {
        let site = try FileSite(trust, folder)
        try FileSite.make("\(site.www)/mount")
        let mounted = try Shell.run(["mount", "-t", "tmpfs", "none", "\(site.www)/mount"], merged: true)
        #expect(mounted.status == 0, "\(mounted.text)")
        defer { _ = try? Shell.run(["umount", "\(site.www)/mount"]) }
        try FileSite.write("other", "\(site.www)/mount/a.txt")
        #expect(try site.routed.status("/mount/a.txt") == "404")
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
    }

    @Test func `workers need no way to the folder, but to read its files`() throws {
        // The folder of the test itself is closed to all but root.
        let site = try FileSite(trust, folder, server: "user = \"nobody\"")
        try File.write(Array("mine".utf8), to: "\(site.www)/mine.txt", mode: 0o600)
        try FileSite.make("\(site.www)/closed")
        try FileSite.write("x", "\(site.www)/closed/x")
        chmod("\(site.www)/closed", 0o700)
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        for _ in 0..<3 {
            #expect(try site.routed.status("/mine.txt") == "403")
            #expect(try site.routed.status("/closed/x") == "403")
        }
        try site.everyhop.waitForAccess("\"status\":403", "the worker may not read the file")
        let told = site.everyhop.log.components(separatedBy: "a file cannot be read").count - 1
        #expect(told == 1, "\(site.everyhop.log)")
    }

    @Test func `python's client sees what RFC 9110 says`() throws {
        let site = try FileSite(trust, folder)
        let script = """
            import http.client, ssl, sys, email.utils, time
            context = ssl.create_default_context(cafile=sys.argv[1])
            c = http.client.HTTPSConnection("localhost", int(sys.argv[2]), context=context, timeout=20)
            def ask(path, method="GET", **fields):
                c.request(method, path, headers={k.replace("_", "-"): v for k, v in fields.items()})
                r = c.getresponse()
                return r, r.read()
            r, body = ask("/ten.txt")
            tag, date, socket = r.headers["ETag"], r.headers["Last-Modified"], c.sock
            assert r.status == 200 and body == b"0123456789"
            for fields, status, wanted in [
                (dict(If_None_Match=tag), 304, b""), (dict(If_Modified_Since=date), 304, b""),
                (dict(If_None_Match='"x", ' + tag), 304, b""), (dict(If_Match='"x"'), 412, None),
                (dict(If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT"), 412, None),
                (dict(Range="bytes=-3"), 206, b"789"), (dict(Range="bytes=3-"), 206, b"3456789"),
                (dict(Range="bytes=3-5", If_Range=tag), 206, b"345"),
                (dict(Range="bytes=3-5", If_Range='"x"'), 200, b"0123456789"),
                (dict(Range="bytes=10-"), 416, None), (dict(Range="lines=1-2"), 200, b"0123456789"),
            ]:
                r, body = ask("/ten.txt", **fields)
                assert r.status == status and (wanted is None or body == wanted), (fields, r.status, body)
                if status == 416: assert r.headers["Content-Range"] == "bytes */10"
                if status == 304: assert r.headers["ETag"] == tag and "Content-Length" not in r.headers
            r, body = ask("/ten.txt", Range="bytes=0-1, 8-")
            import email.parser
            text = "Content-Type: " + r.headers["Content-Type"] + "\\r\\n\\r\\n" + body.decode()
            message = email.parser.Parser().parsestr(text, headersonly=False)
            parts = [(p["Content-Range"], p.get_payload()) for p in message.get_payload()]
            assert parts == [("bytes 0-1/10", "01"), ("bytes 8-9/10", "89")], parts
            assert int(r.headers["Content-Length"]) == len(body)
            r, body = ask("/ten.txt", "HEAD", Range="bytes=0-1")
            assert r.status == 200 and r.headers["Content-Length"] == "10"
            r, body = ask("/none")
            assert r.status == 404
            assert c.sock is socket, "the connection was not kept"
            print("good")
            """
        let result = try Shell.run(
            ["python3", "-c", script, "\(folder.path)/authority.pem", "\(site.everyhop.port)"],
            merged: true
        )
        #expect(result.text == "good\n")
    }
}
