import Platform
import Support
import TLS
import Testing

@testable import Proxy

@Suite("Lists that would replace others") struct ListCoverageTests {
    /// Later than whatever was made before: lists are good from the second on in which they are made.
    private var now: Int64 { Int64(Clock.unixMicroseconds() / 1_000_000) }
    private let folder: TemporaryFolder
    private let root: OpenSSLAuthority
    private let other: OpenSSLAuthority

    init() throws {
        folder = try TemporaryFolder()
        root = try OpenSSLAuthority("root", in: folder)
        other = try OpenSSLAuthority("other", in: folder)
    }

    private func list(of authority: OpenSSLAuthority, isOld: Bool = false) throws -> [UInt8] {
        let time = isOld ? ["-crl_lastupdate", "20240101000000Z", "-crl_nextupdate", "20240201000000Z"] : []
        if isOld { try authority.list("list", time[0], time[1], time[2], time[3]) } else { try authority.list("list") }
        return try File.read("\(folder.path)/list")
    }

    private func coverage(_ lists: [UInt8]..., by trusted: [OpenSSLAuthority]) throws -> ListCoverage {
        var coverage = ListCoverage()
        let authorities = try trusted.flatMap { try File.read($0.certificate) }
        for pem in lists {
            for list in try RevocationListFacts.read(pem: pem, authoritiesPEM: authorities) {
                coverage.add(list.facts, list.signer, now: now)
            }
        }
        return coverage
    }

    @Test func `one that has expired, or is by somebody else, is useless where a good one is`() throws {
        let good = try coverage(list(of: root), by: [root])
        let old = try coverage(list(of: root, isOld: true), by: [root])
        let strange = try coverage(list(of: other), by: [root])
        let impostor = try OpenSSLAuthority("root", in: try TemporaryFolder())
        let forged = try coverage(list(of: root), by: [impostor])
        #expect(forged.named == good.named && forged.usable.isEmpty)
        for bad in [old, strange, forged] {
            #expect(bad.isUseless(after: good))
            #expect(!good.isUseless(after: bad))
            #expect(!bad.isUseless(after: old))
        }
        #expect(!good.isUseless(after: good))
    }

    @Test func `with an authority, its list may go, but not become a bad one`() throws {
        let both = try coverage(list(of: root), list(of: other), by: [root, other])
        #expect(!(try coverage(list(of: root), by: [root, other]).isUseless(after: both)))
        #expect(try coverage(list(of: root), list(of: other, isOld: true), by: [root, other]).isUseless(after: both))
        // A list of an authority in the middle, which peers send, instead of the root's: `crl_check = "leaf"`.
        let chain = try coverage(list(of: root), list(of: other), by: [root])
        #expect(!(try coverage(list(of: other), by: [root]).isUseless(after: chain)))
        // Another authority is trusted now; its list comes with it.
        let before = try coverage(list(of: root), by: [other])
        #expect(!(try coverage(list(of: other), by: [other]).isUseless(after: before)))
    }
}
