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
}
