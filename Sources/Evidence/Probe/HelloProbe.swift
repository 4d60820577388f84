public import Platform

/// Asks a server for one version and suite after the other: what it really accepts, not what it says of itself.
public struct HelloProbe {
    /// What one version came to.
    public struct Outcome: Sendable {
        /// Such as `TLS 1.0`.
        public let version: String
        /// Whether SP 800-52r2 forbids the version.
        public let isForbidden: Bool
        /// The suites that the server agreed to, in the order of its preference; none when the version is refused.
        public let suites: [String]
        /// What the server said to the last question.
        public let lastAnswer: String
        /// Of the accepted suites, those that can be broken or whose sessions can be opened later.
        public let weak: [String]
        /// Of the accepted suites, those that are strong but not in SP 800-52r2.
        public let unapproved: [String]

        /// Whether the last question was not answered in time, so that nothing is known of what it asked for.
        public let isUnknown: Bool

        /// Whether the version was spoken.
        public var isAccepted: Bool { !suites.isEmpty }
    }

    /// Old servers give up on longer lists.
    private static let suitesAtOnce = 100

    private let addresses: [SocketAddress]
    private let serverName: String?
    private let milliseconds: UInt64
    private let announcement: Announcement
    /// Says what comes before TLS, if anything does.
    private let prepare: (ProbeConnection) throws -> Void

    /// A probe of one server.
    ///
    /// - Parameters:
    ///   - serverName: sent as SNI; nil for none.
    ///   - milliseconds: how long one question may take.
    ///   - announcing: what the server expects first.
    ///   - prepare: says what comes before TLS.
    public init(
        _ addresses: [SocketAddress],
        serverName: String?,
        milliseconds: UInt64,
        announcing: Announcement = .none,
        prepare: @escaping (ProbeConnection) throws -> Void = { _ in }
    ) {
        self.addresses = addresses
        self.serverName = serverName
        self.milliseconds = milliseconds
        announcement = announcing
        self.prepare = prepare
    }

    /// Every version, the oldest first.
    ///
    /// - Throws: when the server cannot be reached.
    public func outcomes() throws -> [Outcome] { try ProtocolVersion.allCases.map(outcome) }

    private func outcome(_ version: ProtocolVersion) throws -> Outcome {
        var accepted: [CipherSuite] = []
        var answer = HelloAnswer.closed
        let all = version == .tls13 ? CipherSuite.ofTLS13 : CipherSuite.older
        for start in stride(from: 0, to: all.count, by: Self.suitesAtOnce) {
            var left = Array(all[start..<min(start + Self.suitesAtOnce, all.count)])
            while !left.isEmpty {
                answer = try ask(ClientHello(version: version, suites: left, serverName: serverName))
                // An answer in another version is a refusal of this one; one suite that was not offered is none.
                guard case .agreed(version, let suite) = answer else { break }
                if version == .ssl2 {
                    accepted.append(suite)
                    break
                }
                guard let place = left.firstIndex(of: suite) else { break }
                accepted.append(suite)
                left.remove(at: place)
            }
            if version == .ssl2 || answer == .silence { break }
        }
        return Outcome(
            version: version.name,
            isForbidden: version.isForbidden,
            suites: accepted.map { version == .ssl2 ? "SSL 2.0" : $0.name },
            lastAnswer: answer.text,
            weak: accepted.filter { version == .ssl2 || $0.strength <= .weak }.map(\.name),
            unapproved: accepted.filter { version != .ssl2 && $0.strength == .strong }.map(\.name),
            isUnknown: answer == .silence
        )
    }

    private func ask(_ hello: ClientHello) throws -> HelloAnswer {
        let connection = try ProbeConnection.first(
            of: addresses,
            milliseconds: milliseconds,
            announcing: announcement
        )
        try prepare(connection)
        // A server that hangs up or resets in the middle has answered, too.
        do { try connection.send(hello.bytes) } catch is Errno { return .closed }
        var received: [UInt8] = []
        while received.count < HelloAnswer.most {
            let more: [UInt8]
            do { more = try connection.receive() } catch is Errno { more = [] } catch let failure as ProbeFailure
                where failure == .late
            { return .silence }
            received += more
            let answer = HelloAnswer(received, isEnd: more.isEmpty)
            if answer != .more { return answer }
        }
        return .notTLS
    }
}
