import Bytes
import Testing

@Suite("Search in bytes") struct ASCIISearchTests {
    @Test func `a byte is found wherever it lies in a part, and nowhere else`() {
        for count in 0...40 {
            for start in 0...count {
                for place in 0..<count {
                    var bytes = [UInt8](repeating: 0x0B, count: count)
                    bytes[place] = 0x0A
                    let found = ASCII.firstIndex(of: 0x0A, in: bytes.span, start..<count)
                    #expect(found == (place >= start ? place : count))
                    #expect(ASCII.firstIndex(of: 0x0A, in: bytes.span, 0..<start) == min(place, start))
                }
            }
        }
    }

    @Test func `the first of several is found beside bytes that differ in one bit`() {
        for byte in UInt8.min...UInt8.max {
            let near = (0..<8).map { byte ^ 1 << UInt8($0) }
            let bytes = near + near + [byte] + near + [byte]
            #expect(ASCII.firstIndex(of: byte, in: bytes.span, 0..<bytes.count) == 16)
        }
    }

    @Test func `bytes of a field's value are told from others in every place`() {
        for byte in UInt8.min...UInt8.max {
            for place in 0..<19 {
                var bytes = Array("a value \t, and more".utf8)
                bytes[place] = byte
                #expect(ASCII.isFieldContent(bytes.span, 0..<bytes.count) == ASCII.isFieldContent(byte))
                #expect(ASCII.isFieldContent(bytes.span, place + 1..<bytes.count) == true)
                #expect(ASCII.isFieldContent(bytes.span, 0..<place) == true)
            }
        }
    }

    @Test func `a token ends at the first byte that is none, in every place`() {
        for byte in UInt8.min...UInt8.max {
            for place in 0..<19 {
                var bytes = Array("X-Header_1!-of-many".utf8)
                bytes[place] = byte
                for start in 0...place {
                    let end = ASCII.endOfToken(bytes.span, start..<bytes.count)
                    #expect(end == (ASCII.isToken(byte) ? bytes.count : place))
                }
                #expect(ASCII.endOfToken(bytes.span, 0..<place) == place)
            }
        }
    }

    @Test func `a field's value ends at the first byte that is no part of it`() {
        for place in 0..<30 {
            for bad in [0x0D, 0x0A, 0x00, 0x1F, 0x7F] as [UInt8] {
                var bytes = [UInt8](repeating: 0x09, count: 30)
                bytes[place] = bad
                bytes[29] = bad
                #expect(ASCII.endOfFieldContent(bytes.span, 0..<30) == place)
                #expect(ASCII.endOfFieldContent(bytes.span, place + 1 - place / 29..<30) == 29)
                #expect(ASCII.endOfFieldContent(bytes.span, 0..<place) == place)
            }
        }
    }

    @Test func `a name is spelt in any case, with underscores for hyphens, and no other byte`() {
        let name: StaticString = "x-forwarded-host"
        let spelt = Array("X-FORWARDED-hOST".utf8)
        func isSpelt(_ bytes: [UInt8]) -> Bool { ASCII.spells(bytes.span, name) }
        #expect(isSpelt(spelt))
        #expect(isSpelt(Array("x_forwarded-host".utf8)))
        for place in spelt.indices {
            for byte in UInt8.min...UInt8.max {
                var bytes = spelt
                bytes[place] = byte
                let small = byte == 0x5F ? 0x2D : ASCII.lowercase(byte)
                #expect(isSpelt(bytes) == (small == ASCII.lowercase(spelt[place])))
            }
        }
    }
}
