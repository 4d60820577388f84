import Bytes
import Evidence
import Glibc
import Platform
import Testing

@testable import Proxy

@Suite("Clients of the admin address") struct AdminConnectionTests {
    @Test func `one that takes nothing misses events, and its deadline stays`() throws {
        var pair: [CInt] = [-1, -1]
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, kind, 0, &pair) == 0)
        let peer = pair[1]
        let ours = FileDescriptor(owning: pair[0])
        let poller = try Poller()
        let token = Token(rawValue: 1)
        try poller.add(ours, token, .read)
        let connection = AdminConnection(token, ours, BufferPool(), deadline: 100)
        try File.writeAll(Array("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), to: peer)
        let isOver = connection.ready(poller) { _ in .events(Array("data: 1\n\n".utf8)) }
        #expect(!isOver && connection.isListening)
        let event = [UInt8](repeating: 0x20, count: 4 << 20)
        #expect(!connection.tell(event, deadline: 200, poller) && connection.deadline == 200)
        #expect(!connection.tell(event, deadline: 300, poller) && connection.deadline == 200)
        Glibc.close(peer)
        #expect(connection.ready(poller) { _ in .events([]) })
    }

    @Test func `names from the configuration are text on the page, never markup`() {
        let hostile = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&\u{202E}\n"
        let hop = HopMap.Hop(
            kind: .database,
            name: hostile,
            place: hostile,
            doors: [hostile],
            health: hostile,
            glance: nil
        )
        let map = HopMap(
            program: hostile,
            monitor: hostile,
            traffic: .init(),
            hops: [hop],
            audit: .init(.never),
            sandbox: .init([])
        )
        let page = HopPage(map).answer()
        #expect(!page.body.contains("alert(1)</script>") && !page.body.contains("<img"))
        #expect(page.body.contains("&lt;img src=x onerror=&#39;alert(2)&#39;&gt;&amp;\u{FFFD}\u{FFFD}"))
        // The policy lets one style and one script run, both named by a number that no other page has.
        let nonces = page.body.matches(of: /nonce="([0-9a-f]+)"/).map { String($0.output.1) }
        #expect(nonces.count == 2 && Set(nonces).count == 1 && page.fields.contains("'nonce-\(nonces[0])'"))
        #expect(!HopPage(map).answer().body.contains(nonces[0]))
    }
}
