import Bytes

/// What servers are told of a client's certificate.
///
/// Fields with such names from anybody else are never passed on.
public enum ClientCertificateFields {
    /// Makes the lines, once for all requests of a connection.
    public static func make(
        subject: String,
        issuer: String,
        serial: String,
        fingerprint: String,
        pin: String
    ) -> [UInt8] {
        var lines: [UInt8] = []
        for (name, value) in [
            ("Subject", subject), ("Issuer", issuer), ("Serial", serial), ("Fingerprint", fingerprint), ("Pin", pin),
        ] {
            lines += Array("X-Client-Certificate-\(name): ".utf8)
            for byte in value.utf8 { escape(byte, into: &lines) }
            lines += [0x0D, 0x0A]
        }
        return lines
    }

    /// RFC 4514 §2.4: what is not visible ASCII as a backslash and two hexadecimal digits.
    private static func escape(_ byte: UInt8, into lines: inout [UInt8]) {
        guard byte < 0x20 || byte > 0x7E else {
            lines.append(byte)
            return
        }
        let digits = Array("0123456789ABCDEF".utf8)
        lines += [0x5C, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }

    /// Whether a server could take the name for one of these: case makes no difference to any, and to some of the CGI
    /// kind every sign is like another.
    static func hasPrefix(_ name: Span<UInt8>) -> Bool {
        let prefix: InlineArray<20, UInt8> = [
            0x78, 0x2D, 0x63, 0x6C, 0x69, 0x65, 0x6E, 0x74, 0x2D, 0x63, 0x65, 0x72, 0x74, 0x69, 0x66, 0x69, 0x63, 0x61,
            0x74, 0x65,
        ]
        guard name.count >= 20 else { return false }
        for index in 0..<20 {
            let byte = ASCII.lowercase(name[index])
            let isSign = !ASCII.isDigit(byte) && byte &- 0x61 >= 26
            guard prefix[index] == 0x2D ? isSign : byte == prefix[index] else { return false }
        }
        return true
    }
}
