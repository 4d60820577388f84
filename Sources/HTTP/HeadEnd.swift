/// Where a head ends that we have written ourselves.
public enum HeadEnd {
    /// One past the empty line; the count when there is none.
    public static func position(in bytes: Span<UInt8>) -> Int {
        var index = 3
        while index < bytes.count {
            if bytes[index] == 0x0A, bytes[index - 1] == 0x0D, bytes[index - 2] == 0x0A { return index + 1 }
            index += 1
        }
        return bytes.count
    }
}
