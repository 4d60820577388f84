import TLS
import Testing

@testable import Proxy

@Suite("When and where authorities are asked") struct StapleScheduleTests {
    private let staple = Staple(response: [], status: .good, thisUpdate: 1000, nextUpdate: 9000)

    @Test func `an answer is renewed at half of its time`() {
        #expect(StapleSchedule.next(after: staple, now: 1000) == 5000)
        // Out of a cache: half of what is left, and never at once.
        #expect(StapleSchedule.next(after: staple, now: 6000) == 7500)
        #expect(StapleSchedule.next(after: staple, now: 8990) == 9050)
    }

    @Test func `failures are tried again later and later, but before the answer runs out`() {
        let pauses = (1...12).map { StapleSchedule.next(failures: $0, staple: nil, isDemanded: false, now: 0) }
        #expect(pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600])
        #expect(StapleSchedule.next(failures: 100, staple: nil, isDemanded: false, now: 0) == 3600)
        #expect(StapleSchedule.next(failures: 12, staple: staple, isDemanded: false, now: 5000) == 7000)
        #expect(StapleSchedule.next(failures: 12, staple: staple, isDemanded: false, now: 8999) == 9004)
        #expect(StapleSchedule.next(failures: 1, staple: staple, isDemanded: false, now: 9000) == 9005)
    }

    @Test func `whoever demands a staple waits for five minutes at most`() {
        let pauses = (1...8).map { StapleSchedule.next(failures: $0, staple: nil, isDemanded: true, now: 0) }
        #expect(pauses == [5, 10, 20, 40, 80, 160, 300, 300])
        #expect(StapleSchedule.next(failures: 100, staple: nil, isDemanded: true, now: 0) == 300)
        #expect(StapleSchedule.next(failures: 12, staple: staple, isDemanded: true, now: 5000) == 5300)
        #expect(StapleSchedule.next(failures: 12, staple: staple, isDemanded: true, now: 8999) == 9004)
    }

    @Test(arguments: [
        ("http://ocsp.example.org", "ocsp.example.org", 80, "/"), ("HTTP://a:8080/b/c?d", "a", 8080, "/b/c?d"),
        ("http://192.0.2.1:81/", "192.0.2.1", 81, "/"), ("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x"),
        ("http://[2001:db8::1]/x", "2001:db8::1", 80, "/x"),
    ])
    func `responders are read`(_ text: String, _ host: String, _ port: Int, _ path: String) throws {
        let responder = try #require(Responder(text))
        #expect(responder.host == host && Int(responder.port) == port && responder.path == path)
    }

    @Test(arguments: [
        "https://a/", "ldap://a/", "http://", "http:///a", "http://a:0/", "http://a:x/", "http://a:99999/",
        "http://u@a/",
        "http://a/\r\nX: y", "http://a/ b", "http://[]/", "a",
    ])
    func `and nothing else is`(_ text: String) { #expect(Responder(text) == nil) }

    @Test func `an update travels`() throws {
        var update = StapleUpdate(fingerprint: "ab", certificate: "portal", mustStaple: true)
        #expect(try StapleUpdate(decoding: update.encoded()) == update)
        update.staple = Staple(response: [1, 2], status: .revoked, thisUpdate: 3, nextUpdate: 4)
        update.failure = "late"
        update.failures = 7
        #expect(try StapleUpdate(decoding: update.encoded()) == update)
        update.staple = Staple(response: [], status: .good, thisUpdate: .min, nextUpdate: .max)
        #expect(try StapleUpdate(decoding: update.encoded()).staple?.nextUpdate == 1 << 40)
        #expect(throws: WireReader.Malformed.self) { try StapleUpdate(decoding: [1, 2, 3]) }
    }
}
