import TLS

/// Hellos of TLS, and what has to hold for whatever a client begins with.
enum HelloTarget {
    static let seeds: [[UInt8]] = [hello(modern + common), hello(common)]

    private static let common =
        part(0, vector([0] + vector(Array("a.example".utf8)))) + part(10, vector([0, 0x1D, 0, 0x17]))
        + part(11, [1, 0])
        + part(13, vector([4, 3, 8, 4])) + part(16, vector([2, 0x68, 0x32])) + part(5, [1, 0, 0, 0, 0]) + part(23, [])
        + part(35, [1, 2, 3]) + part(0xFF01, [0])
    private static let modern =
        part(43, [4, 3, 4, 3, 3]) + part(45, [1, 1])
        + part(51, vector([0, 0x1D] + vector([UInt8](repeating: 9, count: 32))))
    /// Comes last.
    private static let session = part(
        41,
        vector(vector([7, 7]) + [0, 0, 0, 0]) + vector([32] + [UInt8](repeating: 5, count: 32))
    )

    private static func vector(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)] + bytes
    }

    private static func part(_ type: UInt16, _ content: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: type >> 8), UInt8(truncatingIfNeeded: type)] + vector(content)
    }

    private static func hello(_ extensions: [UInt8]) -> [UInt8] {
        let body =
            [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + vector([0x13, 1, 0xC0, 0x2B, 0, 0xFF]) + [1, 0]
            + vector(extensions + session)
        return [1, 0] + vector(body)
    }

    /// What is wrong with how `input` was read, or nil; `plain` counts those that are.
    static func check(_ input: [UInt8], plain: inout Int) -> String? {
        guard let hello = ClientHello(input) else { return nil }
        plain += 1
        if !hello.isInside { return "a hello has parts beyond its end" }
        if ClientHello(Array(input.dropLast())) != nil { return "a hello that is cut off is plain" }
        return ClientHello(input + [0]) == nil ? nil : "a hello with more behind it is plain"
    }
}
