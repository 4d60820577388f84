import Testing

@testable import Config
@testable import Proxy

@Suite("How clients are brought to go") struct FarewellTests {
    @Test func `the last stream is named when the client has answered, not before`() {
        var farewell = HTTP2Farewell()
        #expect(farewell.answered() == nil && farewell.look(now: 1_000_000) == nil)
        #expect(farewell.begin(until: 30_000, hasAsked: true, now: 1000) == .announce)
        #expect(farewell.asked() == nil)
        #expect(farewell.look(now: 29_999) == nil)
        #expect(farewell.answered() == .goAway)
        #expect(farewell.step == .said && farewell.until == 30_000)
        // Once only.
        #expect(farewell.answered() == nil && farewell.look(now: 40_000) == nil)
        #expect(farewell.begin(until: 50_000, hasAsked: true, now: 40_000) == nil)
    }

    @Test func `a client that does not answer is waited for to the end of its time, which may become shorter`() {
        var farewell = HTTP2Farewell()
        #expect(farewell.begin(until: 30_000, hasAsked: true, now: 1000) == .announce)
        #expect(farewell.begin(until: 60_000, hasAsked: true, now: 1000) == nil)
        #expect(farewell.until == 30_000)
        #expect(farewell.begin(until: 4000, hasAsked: true, now: 2000) == nil)
        #expect(farewell.look(now: 3999) == nil)
        #expect(farewell.look(now: 4000) == .goAway)
        #expect(farewell.look(now: 4000) == nil)
    }

    @Test func `a client that has asked for nothing yet is let ask first`() {
        var farewell = HTTP2Farewell()
        #expect(farewell.begin(until: 31_000, hasAsked: false, now: 1000) == nil)
        // An answer to something else.
        #expect(farewell.answered() == nil)
        #expect(farewell.look(now: 15_999) == nil)
        var silent = farewell
        #expect(farewell.asked() == .announce)
        #expect(farewell.answered() == .goAway)
        #expect(silent.look(now: 16_000) == .announce)
        #expect(silent.look(now: 16_000) == nil)
        #expect(silent.look(now: 31_000) == .goAway)
        var late = HTTP2Farewell()
        #expect(late.begin(until: 500, hasAsked: false, now: 1000) == nil)
        #expect(late.look(now: 1000) == .announce)
    }

    @Test func `a last stream that is named for another reason stays the last`() {
        var farewell = HTTP2Farewell()
        farewell.said()
        #expect(farewell.begin(until: 30_000, hasAsked: true, now: 1000) == nil)
        #expect(farewell.answered() == nil && farewell.look(now: 30_000) == nil)
    }

    @Test func `whoever is slow to read is waited for, whoever only sends is not`() {
        var linger = Linger()
        #expect(linger.begin(until: nil, bytesIn: 5000, now: 1000) == 2000)
        #expect(linger.more(bytesIn: 5000, now: 2999) == 1)
        #expect(linger.more(bytesIn: 5000, now: 3000) == nil)
        #expect(linger.begin(until: 8000, bytesIn: 5000, now: 1000) == 2000)
        #expect(linger.more(bytesIn: 5000, now: 3000) == 2000)
        #expect(linger.more(bytesIn: 5000 + 1 << 20, now: 7000) == 1000)
        #expect(linger.more(bytesIn: 5001 + 1 << 20, now: 7000) == nil)
        #expect(linger.more(bytesIn: 5000, now: 8000) == nil)
        // Nobody has less than the usual time.
        #expect(linger.begin(until: 1500, bytesIn: 0, now: 1000) == 2000)
        #expect(linger.more(bytesIn: 0, now: 2999) == 1)
    }

    @Test func `whoever stops the program does not wait for clients that ask nothing`() throws {
        let reload = DrainOrder(Config.Server(), isStopping: false)
        #expect(reload.requests == 30_000 && reload.sessions == 3_600_000 && reload.idle == 28_000)
        let stop = DrainOrder(Config.Server(), isStopping: true)
        #expect(stop.requests == 30_000 && stop.sessions == 30_000 && stop.idle == 2000)
        #expect(try DrainOrder(decoding: reload.encoded()) == reload)
    }
}
