import Bytes
import HTTP
import Testing

@Suite("Cookies of a request") struct CookiesTests {
    private func find(_ name: String, _ fields: String) throws -> String? {
        var head = RequestHead()
        var parser = RequestParser(limit: 8192)
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &head)
        guard let place = head.fields.cookie(named: name) else { return nil }
        let value = head.fields.value(place.line)
        return String(decoding: place.range.map { value[$0] }, as: UTF8.self)
    }

    @Test(arguments: [
        ("Cookie: a=1\r\n", "1"), ("cookie: b=2; a=1; c=3\r\n", "1"), ("COOKIE: b=a=9;a=1\r\n", "1"),
        ("Cookie: b=2\r\nCookie: a=1\r\n", "1"), ("Cookie: a=1; a=2\r\n", "1"), ("Cookie: a=\r\n", ""),
        ("Cookie: a=x=y\r\n", "x=y"), ("Cookie: ; ;a=\"1\" ;\r\n", "\"1\""),
    ])
    func `a cookie is found`(_ fields: String, _ value: String) throws {
        #expect(try find("a", fields) == value)
    }

    @Test(arguments: [
        "", "Cookie: A=1\r\n", "Cookie: aa=1\r\n", "Cookie: ba=1\r\n", "Cookie: a\r\n", "Cookie: a =1\r\n",
        "Cookie: b=a=1\r\n", "X-Cookie: a=1\r\n", "Cookie:\r\n",
    ])
    func `what is not that cookie is not taken for it`(_ fields: String) throws {
        #expect(try find("a", fields) == nil)
    }

    @Test func `a field that only the configuration names is found`() throws {
        var head = RequestHead()
        var parser = RequestParser(limit: 8192)
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nX-TENANT: t\r\n\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &head)
        #expect(head.fields.first(named: "x-tenant") == 1)
        #expect(head.fields.first(named: "x-tenan") == nil)
    }
}
