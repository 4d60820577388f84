import Bytes
import Testing

@testable import Proxy

@Suite("Connections of one client") struct ClientPlacesTests {
    private func v4(_ last: UInt64) -> AddressBits { AddressBits(high: 0, low: 0xFFFF_0A00_0000 | last) }

    @Test func `a client has as many as it may, and others have theirs`() {
        var places = ClientPlaces(limit: 2)
        let taken = (0..<4).map { places.take(Token(rawValue: $0), v4(1)) }
        #expect(taken == [true, true, false, false])
        let other = places.take(Token(rawValue: 4), v4(2))
        #expect(other && places.clients == 2)
        // One that was refused was not counted.
        places.giveBack(Token(rawValue: 3))
        let still = places.take(Token(rawValue: 5), v4(1))
        places.giveBack(Token(rawValue: 0))
        let freed = places.take(Token(rawValue: 6), v4(1))
        #expect(!still && freed)
        for token in [1, 4, 6] as [UInt64] { places.giveBack(Token(rawValue: token)) }
        #expect(places.clients == 0)
    }

    @Test func `an IPv6 client is a network of 64 bits`() {
        var places = ClientPlaces(limit: 1)
        let first = places.take(Token(rawValue: 0), AddressBits(high: 7, low: 1))
        let same = places.take(Token(rawValue: 1), AddressBits(high: 7, low: 2))
        let next = places.take(Token(rawValue: 2), AddressBits(high: 8, low: 1))
        #expect(first && !same && next)
    }

    @Test func `without a limit nothing is remembered`() {
        var places = ClientPlaces(limit: nil)
        for token in 0..<100 as Range<UInt64> {
            let taken = places.take(Token(rawValue: token), v4(1))
            #expect(taken)
        }
        #expect(places.clients == 0)
    }
}
