import Bytes
import HTTP
import Testing

@testable import Config

@Suite("Names that a site may not write") struct ReservedHeaderTests {
    /// What the writers treat in their own way is named in the configuration's list, too, which cannot see the writers.
    @Test func `they are what the writers write themselves`() {
        let free: Set<String> = [
            "accept", "authorization", "date", "www-authenticate", "content-location", "content-security-policy",
            "link", "location", "refresh",
            "set-cookie",
            "strict-transport-security",
        ]
        let handshakes: Set<String> = ["http2-settings", "sec-websocket-accept", "sec-websocket-key"]
        for name in HeaderName.reserved.subtracting(handshakes) {
            #expect(FieldName(Array(name.utf8).span) != .other, "\(name)")
        }
        for name in free {
            #expect(FieldName(Array(name.utf8).span) != .other && !HeaderName.reserved.contains(name), "\(name)")
        }
        // A family of names, of which the list has none.
        for name in ["x-client-certificate", "x-client-certificate-subject", "x-client-certificate-x"] {
            #expect(FieldName(Array(name.utf8).span) == .clientCertificate && HeaderName.isReserved(name))
        }
        // Every known name is of one of the three kinds; `other` and `underscored` are none.
        var known = 0
        while FieldName(rawValue: UInt8(known)) != nil { known += 1 }
        #expect(known - 3 == HeaderName.reserved.count - handshakes.count + free.count)
    }
}
