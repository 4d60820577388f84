import Testing

@testable import Proxy

@Suite("Exchange state") struct ExchangeStateTests {
    private enum Event: CaseIterable {
        case serverTook, requestEnded, responseStarted, responseEnded, serverFailed, clientFailed, requestBroken
    }

    private static func apply(_ event: Event, _ state: inout ExchangeState) -> ExchangeState.Action {
        switch event {
        case .serverTook:
            state.serverTook(hasBody: true)
            return .none
        case .requestEnded: return state.requestEnded()
        case .responseStarted:
            state.responseStarted()
            return .none
        case .responseEnded: return state.responseEnded(reuseClient: true, reuseServer: true)
        case .serverFailed: return state.serverFailed(repeatable: false)
        case .clientFailed: return state.clientFailed()
        case .requestBroken: return state.requestBroken()
        }
    }

    /// Walks every sequence of six events.
    @Test func `an exchange ends once, whatever comes in whatever order`() {
        var sequences: [(state: ExchangeState, endings: Int)] = [(ExchangeState(), 0)]
        for _ in 0..<6 {
            var next: [(state: ExchangeState, endings: Int)] = []
            for (state, endings) in sequences {
                for event in Event.allCases {
                    var state = state
                    let action = Self.apply(event, &state)
                    let ends: Bool
                    switch action {
                    case .none, .retry: ends = false
                    case .finish, .respond, .cutOff: ends = true
                    }
                    #expect(!(ends && endings > 0), "\(event) ended an exchange again")
                    next.append((state, endings + (ends ? 1 : 0)))
                }
            }
            // Equal states behave alike: keep one of each.
            sequences = next.reduce(into: []) { list, item in
                if !list.contains(where: { $0.state == item.state && $0.endings == item.endings }) { list.append(item) }
            }
        }
    }

    @Test func `both connections serve again only after both halves are whole`() {
        var state = ExchangeState()
        state.serverTook(hasBody: true)
        state.responseStarted()
        #expect(
            state.responseEnded(reuseClient: true, reuseServer: true) == .finish(reuseClient: false, reuseServer: false)
        )
        state = ExchangeState()
        state.serverTook(hasBody: false)
        state.responseStarted()
        #expect(
            state.responseEnded(reuseClient: true, reuseServer: false) == .finish(reuseClient: true, reuseServer: false)
        )
    }

    @Test func `a request is sent again only when nothing of its body has been`() {
        var state = ExchangeState()
        state.serverTook(hasBody: true)
        #expect(state.serverFailed(repeatable: true) == .retry)
        state.serverTook(hasBody: true)
        state.bodyForwarded()
        #expect(state.serverFailed(repeatable: true) == .respond)
    }

    @Test func `a response that has begun is cut off, never completed by us`() {
        var state = ExchangeState()
        state.serverTook(hasBody: false)
        state.responseStarted()
        #expect(state.serverFailed(repeatable: true) == .cutOff)
    }
}

@Suite("Wire values") struct WireTests {
    @Test func `a bundle comes back as it was, and cut or changed bytes never trap`() throws {
        let bundle = Bundle(file: "a.toml", tree: [1, 2, 3], resources: ["x": [4, 5], "y": []])
        let bytes = bundle.encoded()
        let again = try Bundle(decoding: bytes)
        #expect(again.file == "a.toml" && again.tree == [1, 2, 3] && again.resources == ["x": [4, 5], "y": []])
        for count in 0..<bytes.count {
            #expect(throws: WireReader.Malformed.self) { try Bundle(decoding: Array(bytes[..<count])) }
        }
        for index in bytes.indices {
            var changed = bytes
            changed[index] = 0xFF
            _ = try? Bundle(decoding: changed)
        }
    }
}
