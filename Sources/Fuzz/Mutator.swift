/// Makes inputs out of valid messages: flips, cuts, copies, and words that parsers care about.
struct Mutator {
    private static let seeds: [[UInt8]] =
        [
            "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "POST /p?q=1 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "GET https://a/x HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.0 b\r\n\r\n",
            "GET /a%20b/../.c//d HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4,-9, 7-\r\nIf-Range: \"x\"\r\n\r\n",
            "GET /d/ HTTP/1.1\r\nHost: a\r\nIf-Match: W/\"a\", *\r\nIf-None-Match: \"a,b\", \"c\"\r\n"
                + "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nRange: bytes=3-3\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nIf-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n"
                + "If-Range: Sun Nov  6 08:49:37 1994\r\nRange: bytes=0-0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil close",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: http://legacy:8080/legacy/x?y\r\nLink: <http://legacy/>; rel=\"a\\\"<\", </b>\r\n"
                + "Refresh: 5; url='//legacy/x'\r\nContent-Security-Policy: default-src a; b, c\r\n"
                + "Set-Cookie: a=b; Path=/legacy; Domain=.legacy; HttpOnly\r\nContent-Length: 0\r\n\r\n",
            "[server]\nworkers = 2\nadmin = \"127.0.0.1:9180\"\n[[site]]\nname = \"s\"\nupstream = \"u\"\nhsts = { max_age = \"1d\" }\n[site.request_headers]\nset = { X-A = \"${host}\" }\n[[site.binding]]\nport = 443\n",
            "[[upstream]]\nname = \"u\"\nservers = [\"10.0.0.1:443\", \"unix:/x\"]\ntrust = { ca = \"f\", pins = [\"sha256/x\"] }\n",
        ].map { Array($0.utf8) } + NegotiationTarget.seeds + ClientTarget.seeds + HTTP2Target.seeds
        + ProxyHeaderTarget.seeds + HelloTarget.seeds

    private static let words: [[UInt8]] = [
        "\r\n", "\n", "\r", " ", "\t", ":", ",", ";", "0", "chunked", "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n", "\r\n\r\n",
        "Host: b\r\n", "Connection: ", "HTTP/1.1", "HTTP/1.0", "FFFFFFFFFFFFFFFF", "99999999999999999999",
        "GET / HTTP/1.1\r\n", "\u{0}", "[", "]",
        "Location: http://", "Set-Cookie: ", "Link: <", "; Path=/legacy", "legacy", "/..", "%2e", "%2f", "%25", "%",
        "/", "<", ">",
        "Range: bytes=", "If-Range: ", "If-Match: ", "If-None-Match: ", "-", "18446744073709551615",
        "{", "}", "=", "\"", "'", "\"\"\"", "'''", ".", "#", "\\u", "= [[", "[[site]]\n",
    ].map { Array($0.utf8) }

    private var pool = Self.seeds

    mutating func next(_ random: inout Random) -> [UInt8] {
        // Half of the time from a valid message: most mutants of mutants are refused at their first byte.
        var bytes = pool[random.below(random.below(2) == 0 ? Self.seeds.count : pool.count)]
        for _ in 0...random.below(5) { mutate(&bytes, &random) }
        if bytes.count > 2048 { bytes.removeLast(bytes.count - 2048) }
        // Mutants of mutants reach further; the seeds themselves stay.
        if random.below(64) == 0 {
            if pool.count < 512 {
                pool.append(bytes)
            } else {
                pool[Self.seeds.count + random.below(pool.count - Self.seeds.count)] = bytes
            }
        }
        return bytes
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout Random) {
        let place = random.below(bytes.count + 1)
        switch random.below(7) {
        case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1 where place < bytes.count: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 2: bytes.insert(contentsOf: Self.words[random.below(Self.words.count)], at: place)
        case 3 where place < bytes.count: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(16)))
        case 4 where place < bytes.count:
            let piece = bytes[place..<min(bytes.count, place + 1 + random.below(64))]
            bytes.insert(contentsOf: piece, at: random.below(bytes.count + 1))
        case 5:
            let other = pool[random.below(pool.count)]
            bytes = Array(bytes[..<place]) + other[random.below(other.count + 1)...]
        default: bytes.append(UInt8(truncatingIfNeeded: random.next()))
        }
    }
}
