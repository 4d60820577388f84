import Testing

@testable import TLS

@Suite("Hellos") struct ClientHelloTests {
    private let maker = HelloMaker()

    /// The text of a range.
    private func text(_ hello: ClientHello, _ range: Range<Int>?) -> String? {
        range.map { String(decoding: hello.message[$0], as: UTF8.self) }
    }

    @Test func `a plain one is read`() throws {
        let hello = try #require(ClientHello(maker.message))
        #expect(Array(hello.message[hello.random]) == maker.random)
        #expect(Array(hello.message[hello.sessionID]) == maker.sessionID)
        #expect(text(hello, hello.serverName) == "app.internal")
        #expect(hello.isModern && hello.resumesWithKey && hello.hasExtendedMasterSecret && hello.hasPointFormats)
        #expect(hello.renegotiatesSafely && !hello.asksForStaple && hello.ticket?.isEmpty == true)
        #expect(hello.key.map { hello.message[$0].first } == 9)
        #expect(hello.has(0x1302, in: hello.suites) && !hello.has(0x1303, in: hello.suites))
        #expect(hello.has(0x0804, in: hello.signatureSchemes) && !hello.has(0x0305, in: hello.signatureSchemes))
        #expect(hello.offers("h2".bytes) && hello.offers("http/1.1".bytes) && !hello.offers("http".bytes))
        let hasOffers = hello.offers != nil
        #expect(!hasOffers)
    }

    @Test func `an old one is plain too`() throws {
        let hello = try #require(ClientHello(HelloMaker(isModern: false).message))
        #expect(!hello.isModern && hello.key == nil && hello.versions == nil)
    }

    @Test func `a suite can say what an extension says`() throws {
        let without = HelloMaker(isModern: false).with(0xFF01, nil)
        #expect(ClientHello(without.message)?.renegotiatesSafely == false)
        #expect(ClientHello(without.changed { $0.suites.append(0x00FF) }.message)?.renegotiatesSafely == true)
    }

    @Test func `whoever asks for a staple is heard`() throws {
        let hello = try #require(ClientHello(maker.with(5, [1, 0, 0, 0, 0]).message))
        #expect(hello.asksForStaple)
    }

    @Test func `offered sessions are found with their binders`() throws {
        let identity = HelloMaker.vector(2, [1, 2, 3]) + [0, 0, 0, 0]
        let binder = HelloMaker.vector(1, [UInt8](repeating: 5, count: 32))
        let content = HelloMaker.vector(2, identity + identity) + HelloMaker.vector(2, binder + binder)
        let message = maker.with(41, content).message
        let hello = try #require(ClientHello(message))
        let offers = try #require(hello.offers)
        #expect(offers.isPaired)
        #expect(Array(hello.message[offers.identities]) == identity + identity)
        #expect(Array(hello.message[offers.binders]) == binder + binder)
        #expect(offers.boundCount == message.count - 2 - 2 * binder.count)
    }

    @Test func `sessions without a binder each are told apart`() throws {
        let identity = HelloMaker.vector(2, [1]) + [0, 0, 0, 0]
        let binder = HelloMaker.vector(1, [UInt8](repeating: 0, count: 32))
        let pairs: [(sessions: [UInt8], binders: [UInt8])] = [
            (identity, []), (identity, binder + binder), (identity + identity, binder),
            (identity, HelloMaker.vector(1, [1])),
            ([0, 0, 0, 0, 0, 0], binder), (Array(identity.dropLast()), binder), (identity, Array(binder.dropLast())),
        ]
        for pair in pairs {
            let content = HelloMaker.vector(2, pair.sessions) + HelloMaker.vector(2, pair.binders)
            #expect(ClientHello(maker.with(41, content).message)?.offers?.isPaired == false)
        }
    }

    // MARK: what is not plain

    private static let hellos: [(String, HelloMaker)] = {
        let maker = HelloMaker()
        let zeros = [UInt8](repeating: 0, count: 32)
        let identity = HelloMaker.vector(2, [1]) + [0, 0, 0, 0]
        let binder = HelloMaker.vector(1, zeros)
        let sessions = HelloMaker.vector(2, identity)
        return [
            ("no hello", maker.changed { $0.type = 2 }),
            ("an older version", maker.changed { $0.version = 0x0302 }),
            ("a newer version", maker.changed { $0.version = 0x0304 }),
            ("a session's number that is too long", maker.changed { $0.sessionID = zeros + [0] }),
            ("no suites", maker.changed { $0.suites = [] }),
            ("a second try with an older version", maker.changed { $0.suites.append(0x5600) }),
            ("compression", maker.changed { $0.compression = [1, 0] }),
            ("no compression method", maker.changed { $0.compression = [] }),
            ("only compression", maker.changed { $0.compression = [1] }),
            ("two names", maker.with(0, HelloMaker.vector(2, [0, 0, 1, 97, 0, 0, 1, 98]))),
            ("no name in the list", maker.with(0, HelloMaker.vector(2, []))),
            ("an empty name", maker.with(0, HelloMaker.vector(2, [0, 0, 0]))),
            ("a name with a zero", maker.with(0, HelloMaker.vector(2, [0, 0, 2, 97, 0]))),
            ("a name of another kind", maker.with(0, HelloMaker.vector(2, [1, 0, 1, 97]))),
            (
                "a name that is too long",
                maker.with(0, HelloMaker.vector(2, [0] + HelloMaker.vector(2, [UInt8](repeating: 97, count: 256))))
            ),
            ("short fragments", maker.with(1, [2])),
            ("half a group", maker.with(10, HelloMaker.vector(2, [0, 0x1D, 0]))),
            ("no groups", maker.with(10, HelloMaker.vector(2, []))),
            ("groups and more", maker.with(10, HelloMaker.vector(2, [0, 0x1D]) + [0])),
            ("compressed points only", maker.with(11, HelloMaker.vector(1, [1]))),
            ("no signatures", maker.with(13, HelloMaker.vector(2, []))),
            ("half a signature", maker.with(13, HelloMaker.vector(2, [4]))),
            ("no protocol", maker.with(16, HelloMaker.vector(2, []))),
            ("an empty protocol", maker.with(16, HelloMaker.vector(2, [0]))),
            ("a protocol cut off", maker.with(16, HelloMaker.vector(2, [3, 97]))),
            ("a master secret with content", maker.with(23, [0])),
            ("early data", maker.with(42, [])),
            ("a cookie", maker.with(44, HelloMaker.vector(2, [1]))),
            ("half a version", maker.with(43, HelloMaker.vector(1, [3]))),
            ("no version", maker.with(43, HelloMaker.vector(1, []))),
            ("no way to resume", maker.with(45, HelloMaker.vector(1, []))),
            ("signatures of certificates", maker.with(50, HelloMaker.vector(2, [4, 3]))),
            ("a key that is too short", maker.with(51, HelloMaker.vector(2, [0, 0x1D] + HelloMaker.vector(2, [1])))),
            ("an empty key", maker.with(51, HelloMaker.vector(2, [0, 0x17, 0, 0]))),
            ("two keys", maker.with(51, HelloMaker.vector(2, [0, 0x1D, 0, 32] + zeros + [0, 0x1D, 0, 32] + zeros))),
            ("keys and more", maker.with(51, HelloMaker.vector(2, [0, 0x1D, 0, 32] + zeros) + [0])),
            ("a handshake before", maker.with(0xFF01, [1, 1])),
            ("another question than OCSP", maker.with(5, [2, 0, 0, 0, 0])),
            ("chosen responders", maker.with(5, [1, 0, 1, 0, 0, 0])),
            ("the same twice", maker.changed { $0.extensions.append($0.extensions[4]) }),
            ("renegotiation twice", maker.changed { $0.extensions.append((0xFF01, [0])) }),
            (
                "something behind the sessions",
                maker.with(41, sessions + HelloMaker.vector(2, binder)).changed { $0.extensions.append((99, [])) }
            ),
            ("no sessions", maker.with(41, HelloMaker.vector(2, []) + HelloMaker.vector(2, binder))),
            ("sessions without a way", maker.with(45, nil).with(41, sessions + HelloMaker.vector(2, binder))),
        ]
    }()

    @Test(arguments: hellos.indices) func `anything else is the library's`(_ index: Int) {
        let (what, maker) = Self.hellos[index]
        #expect(ClientHello(maker.message) == nil, "\(what)")
    }

    @Test func `what is cut off or longer than it says is not plain`() {
        let message = maker.message
        for count in message.indices { #expect(ClientHello(Array(message[..<count])) == nil) }
        #expect(ClientHello(message + [0]) == nil)
        var longer = message
        longer[3] &+= 1
        #expect(ClientHello(longer + [0]) == nil)
    }

    @Test func `no byte that is changed leads astray`() {
        let message = maker.with(5, [1, 0, 0, 0, 0]).message
        for index in message.indices {
            for change in [1, 0x40, 0x80, 0xFF] as [UInt8] {
                var changed = message
                changed[index] ^= change
                guard let hello = ClientHello(changed) else { continue }
                // What was found lies inside.
                for range in [
                    hello.random, hello.sessionID, hello.suites, hello.key ?? 0..<0, hello.protocols ?? 0..<0,
                ] {
                    #expect(range.upperBound <= changed.count)
                }
            }
        }
    }
}
