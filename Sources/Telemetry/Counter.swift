/// What is counted per worker; the raw value is its place in the shared page.
public enum Counter: Int, CaseIterable, Sendable {
    /// Clients accepted.
    case clientConnections
    /// Clients connected now.
    case clientConnectionsActive
    /// Connections of load balancers that did not begin with a good PROXY header.
    case proxyHeadersRefused
    /// TLS handshakes completed with clients.
    case handshakes
    /// TLS handshakes with clients that failed.
    case handshakeFailures
    /// TLS handshakes with clients that resumed a session.
    case handshakesResumed
    /// Requests with a complete head.
    case requests
    /// Requests refused because they are not valid HTTP.
    case requestsRefused
    /// Requests of clients whose address is not admitted.
    case requestsDenied
    /// Requests of clients that ask too often.
    case requestsLimited
    /// Clients whose certificate is not good.
    case clientCertificatesRefused
    /// Responses of class 2xx.
    case responses2xx
    /// Responses of class 3xx.
    case responses3xx
    /// Responses of class 4xx.
    case responses4xx
    /// Responses of class 5xx.
    case responses5xx
    /// Plaintext bytes read from clients.
    case bytesFromClients
    /// Plaintext bytes written to clients.
    case bytesToClients
    /// Requests for files of folders.
    case fileRequests
    /// Files that could not be read, or not to their end.
    case fileFailures
    /// Connections begun to servers.
    case upstreamConnections
    /// Connections to servers now.
    case upstreamConnectionsActive
    /// TLS handshakes completed with servers.
    case upstreamHandshakes
    /// TLS handshakes with servers that resumed a session.
    case upstreamResumed
    /// Servers that could not be reached or broke the handshake.
    case upstreamConnectFailures
    /// Servers that are not the ones that are trusted.
    case upstreamVerificationFailures
    /// Servers whose key is not one that is pinned.
    case pinMismatches
    /// Servers that did not answer in time.
    case upstreamTimeouts
    /// Requests served over a connection from the pool.
    case poolReuses
    /// Times that accepting stopped at the connection limit.
    case connectionLimitReached
    /// Clients' connections beyond what one client may have.
    case clientsRefused
    /// Access log lines that could not be written.
    case accessLogDropped
    /// Layers of its sandbox that this worker could not put on.
    case sandboxLacks
    /// Signatures that the signer made.
    case signatures
    /// Signatures that it did not make, or not in time.
    case signatureFailures
    /// Connections and streams that changed to another protocol, such as WebSocket.
    case tunnels
    /// Those open now.
    case tunnelsActive
    /// Clients that speak HTTP/2.
    case http2Connections
    /// HTTP/2 streams beyond the number that one client may have open.
    case http2StreamsRefused
    /// HTTP/2 clients that broke the protocol.
    case http2ProtocolErrors
    /// HTTP/2 streams whose reader stopped taking.
    case http2SlowReaders
    /// HTTP/2 clients sent away for resetting streams too fast.
    case http2AbuseResets
    /// HTTP/2 clients sent away for SETTINGS.
    case http2AbuseSettings
    /// HTTP/2 clients sent away for PING.
    case http2AbusePings
    /// HTTP/2 clients sent away for empty frames.
    case http2AbuseEmptyFrames
    /// HTTP/2 clients sent away for PRIORITY.
    case http2AbusePriorities
    /// HTTP/2 clients sent away for frames of unknown kinds.
    case http2AbuseUnknownFrames
    /// HTTP/2 clients sent away for CONTINUATION.
    case http2AbuseContinuations
    /// HTTP/2 clients sent away for leaving our answers unread.
    case http2AbuseUnsentAnswers
    /// HTTP/2 clients sent away for opening windows byte by byte.
    case http2AbuseWindowUpdates
    /// Clients cut off because they took a response too slowly.
    case slowReaders
    /// Requests refused because their body came too slowly.
    case slowBodies
    /// Handshakes dropped because too many were under way.
    case handshakesDropped
    /// Handshakes with clients under way now.
    case handshakesActive
    /// Times that accepting paused because too many handshakes waited.
    case acceptPauses
    /// Bytes of memory that connections hold now for what waits.
    case bufferBytes
    /// Times that more was held than may be.
    case bufferLimitReached
    /// Clients cut off because buffers were used up.
    case readersCut
    /// Requests refused because buffers were used up.
    case requestsShed
    /// Entries of the audit log that could not be written; the master counts them in the retired page.
    case auditEntriesLost
    /// Workers that died; the master counts them in the retired page.
    case workerDeaths
    /// Times that certificates, trust or ticket keys were replaced in living workers; counted by the master.
    case replacements
    /// Times that they were not, because something about the new ones is wrong.
    case replacementsRefused
    /// Reloads that were refused.
    case reloadsRefused
    /// Workers replaced because they ended by themselves; this and what follows is the master's, too.
    case workersCrashed
    /// Workers replaced because they did not answer.
    case workersHung
    /// Workers replaced because they had too much memory.
    case workersOutgrown
    /// Workers replaced because they did not begin to serve in time.
    case workersLate
    /// Workers replaced because of what they said.
    case workersBabbled
    /// Helpers replaced because they ended by themselves.
    case helpersCrashed
    /// Helpers replaced because they did not answer.
    case helpersHung
    /// Helpers replaced because of what they said.
    case helpersBabbled

    /// Whether it can fall.
    public var isGauge: Bool {
        self == .clientConnectionsActive || self == .upstreamConnectionsActive || self == .tunnelsActive
            || self == .handshakesActive || self == .bufferBytes || self == .sandboxLacks
    }

    /// Its name and meaning in Prometheus' exposition.
    public var exposition: (name: String, labels: String, help: String) {
        switch self {
        case .clientConnections: ("everyhop_client_connections_total", "", "Clients accepted.")
        case .clientConnectionsActive: ("everyhop_client_connections", "", "Clients connected now.")
        case .proxyHeadersRefused:
            ("everyhop_proxy_headers_refused_total", "", "Connections without the PROXY header that is due.")
        case .handshakes: ("everyhop_client_handshakes_total", "", "TLS handshakes completed with clients.")
        case .handshakeFailures:
            ("everyhop_client_handshake_failures_total", "", "TLS handshakes with clients that failed.")
        case .handshakesResumed:
            ("everyhop_client_handshakes_resumed_total", "", "Client handshakes that resumed a session.")
        case .requests: ("everyhop_requests_total", "", "Requests with a complete head.")
        case .requestsRefused: ("everyhop_requests_refused_total", "", "Requests that are not valid HTTP.")
        case .requestsDenied:
            ("everyhop_requests_denied_total", "", "Requests of clients whose address is not admitted.")
        case .requestsLimited: ("everyhop_requests_limited_total", "", "Requests of clients that ask too often.")
        case .clientCertificatesRefused:
            ("everyhop_client_certificates_refused_total", "", "Clients whose certificate is not good.")
        case .responses2xx: ("everyhop_responses_total", "class=\"2xx\"", "Responses by class of status.")
        case .responses3xx: ("everyhop_responses_total", "class=\"3xx\"", "Responses by class of status.")
        case .responses4xx: ("everyhop_responses_total", "class=\"4xx\"", "Responses by class of status.")
        case .responses5xx: ("everyhop_responses_total", "class=\"5xx\"", "Responses by class of status.")
        case .bytesFromClients: ("everyhop_client_bytes_received_total", "", "Plaintext bytes read from clients.")
        case .bytesToClients: ("everyhop_client_bytes_sent_total", "", "Plaintext bytes written to clients.")
        case .fileRequests: ("everyhop_file_requests_total", "", "Requests for files of folders.")
        case .fileFailures:
            ("everyhop_file_failures_total", "", "Files that could not be read, or not to their end.")
        case .upstreamConnections: ("everyhop_upstream_connections_total", "", "Connections begun to servers.")
        case .upstreamConnectionsActive: ("everyhop_upstream_connections", "", "Connections to servers now.")
        case .upstreamHandshakes: ("everyhop_upstream_handshakes_total", "", "TLS handshakes completed with servers.")
        case .upstreamResumed:
            ("everyhop_upstream_handshakes_resumed_total", "", "Server handshakes that resumed a session.")
        case .upstreamConnectFailures:
            (
                "everyhop_upstream_connect_failures_total", "",
                "Servers that could not be reached or broke the handshake."
            )
        case .upstreamVerificationFailures:
            ("everyhop_upstream_verification_failures_total", "", "Servers that are not the ones that are trusted.")
        case .pinMismatches: ("everyhop_upstream_pin_mismatches_total", "", "Servers whose key is not pinned.")
        case .upstreamTimeouts: ("everyhop_upstream_timeouts_total", "", "Servers that did not answer in time.")
        case .poolReuses: ("everyhop_upstream_pool_reuses_total", "", "Requests over a pooled connection.")
        case .connectionLimitReached:
            ("everyhop_connection_limit_reached_total", "", "Times that accepting stopped at the connection limit.")
        case .clientsRefused:
            (
                "everyhop_client_connections_refused_total", "",
                "Clients' connections beyond server.limits.connections_per_client."
            )
        case .accessLogDropped: ("everyhop_access_log_dropped_total", "", "Access log lines that could not be written.")
        case .sandboxLacks:
            ("everyhop_sandbox_missing_layers", "", "Layers of the sandbox that workers could not put on.")
        case .signatures: ("everyhop_signatures_total", "", "Signatures that the signer made (key_isolation).")
        case .signatureFailures:
            ("everyhop_signature_failures_total", "", "Signatures that the signer did not make, or not in time.")
        case .tunnels:
            ("everyhop_tunnels_total", "", "Connections and streams that changed to another protocol.")
        case .tunnelsActive:
            ("everyhop_tunnels", "", "Connections and streams in another protocol now.")
        case .http2Connections: ("everyhop_http2_connections_total", "", "Clients that speak HTTP/2.")
        case .http2StreamsRefused:
            ("everyhop_http2_streams_refused_total", "", "HTTP/2 streams beyond what a client may have open.")
        case .http2ProtocolErrors:
            ("everyhop_http2_protocol_errors_total", "", "HTTP/2 clients that broke the protocol.")
        case .http2SlowReaders:
            ("everyhop_http2_slow_readers_total", "", "HTTP/2 streams whose reader stopped taking.")
        case .http2AbuseResets: abuse("resets")
        case .http2AbuseSettings: abuse("settings")
        case .http2AbusePings: abuse("pings")
        case .http2AbuseEmptyFrames: abuse("empty_frames")
        case .http2AbusePriorities: abuse("priorities")
        case .http2AbuseUnknownFrames: abuse("unknown_frames")
        case .http2AbuseContinuations: abuse("continuations")
        case .http2AbuseUnsentAnswers: abuse("unsent_answers")
        case .http2AbuseWindowUpdates: abuse("window_updates")
        case .slowReaders:
            ("everyhop_slow_readers_total", "", "Clients cut off because they took a response too slowly.")
        case .slowBodies:
            ("everyhop_slow_bodies_total", "", "Requests refused because their body came too slowly.")
        case .handshakesDropped:
            ("everyhop_client_handshakes_dropped_total", "", "Handshakes dropped because too many were under way.")
        case .handshakesActive: ("everyhop_client_handshakes_active", "", "Handshakes with clients under way now.")
        case .acceptPauses:
            ("everyhop_accept_pauses_total", "", "Times that accepting paused because too many handshakes waited.")
        case .bufferBytes: ("everyhop_buffer_bytes", "", "Memory that connections hold for what waits.")
        case .bufferLimitReached:
            ("everyhop_buffer_limit_reached_total", "", "Times that buffers were used up.")
        case .readersCut:
            ("everyhop_readers_cut_total", "", "Clients cut off because buffers were used up.")
        case .requestsShed:
            ("everyhop_requests_shed_total", "", "Requests refused because buffers were used up.")
        case .auditEntriesLost:
            ("everyhop_audit_entries_lost_total", "", "Entries of the audit log that could not be written.")
        case .workerDeaths: ("everyhop_worker_deaths_total", "", "Workers that died and were replaced.")
        case .replacements:
            ("everyhop_replacements_total", "", "Times that certificates, trust or ticket keys were replaced in place.")
        case .replacementsRefused:
            ("everyhop_replacements_refused_total", "", "Times that new certificates, trust or keys were not usable.")
        case .reloadsRefused: ("everyhop_reloads_refused_total", "", "Reloads that were refused.")
        case .workersCrashed: replacement("worker", "crash")
        case .workersHung: replacement("worker", "hang")
        case .workersOutgrown: replacement("worker", "memory")
        case .workersLate: replacement("worker", "start")
        case .workersBabbled: replacement("worker", "message")
        case .helpersCrashed: replacement("helper", "crash")
        case .helpersHung: replacement("helper", "hang")
        case .helpersBabbled: replacement("helper", "message")
        }
    }
}

extension Counter {
    private func replacement(_ who: String, _ reason: String) -> (name: String, labels: String, help: String) {
        ("everyhop_\(who)_replacements_total", "reason=\"\(reason)\"", "Processes that were replaced, by the reason.")
    }

    private func abuse(_ kind: String) -> (name: String, labels: String, help: String) {
        ("everyhop_http2_abuse_total", "kind=\"\(kind)\"", "HTTP/2 clients sent away, by what they did too often.")
    }
}

/// What is measured per worker, in microseconds.
public enum Timing: Int, CaseIterable, Sendable {
    /// From accepting a client to the end of its handshake.
    case handshake
    /// From the first byte of a request to the last of its response.
    case request
    /// From looking for a server to a verified connection.
    case upstreamConnect
    /// From a verified connection to the response's head.
    case upstreamFirstByte

    /// Its name and meaning in Prometheus' exposition.
    public var exposition: (name: String, help: String) {
        switch self {
        case .handshake: ("everyhop_client_handshake_seconds", "From accepting a client to the end of its handshake.")
        case .request: ("everyhop_request_seconds", "From the first byte of a request to the last of its response.")
        case .upstreamConnect:
            ("everyhop_upstream_connect_seconds", "From looking for a server to a verified connection.")
        case .upstreamFirstByte:
            ("everyhop_upstream_first_byte_seconds", "From a verified connection to the response's head.")
        }
    }
}

/// What is counted per upstream.
public enum UpstreamCounter: Int, CaseIterable, Sendable {
    /// Requests sent there.
    case requests
    /// Requests that failed there.
    case failures
    /// Requests that had to wait for a connection.
    case queued
    /// Requests refused because too many waited, or for too long.
    case overflows

    /// Its name and meaning in Prometheus' exposition.
    public var exposition: (name: String, help: String) {
        switch self {
        case .requests: ("everyhop_upstream_requests_total", "Requests by upstream.")
        case .failures: ("everyhop_upstream_failures_total", "Failed requests by upstream.")
        case .queued: ("everyhop_upstream_queued_total", "Requests that had to wait for a connection.")
        case .overflows:
            ("everyhop_upstream_overflows_total", "Requests refused because too many waited, or for too long.")
        }
    }
}

/// What is counted per server of an upstream.
public enum ServerCounter: Int, CaseIterable, Sendable {
    /// Requests sent to it.
    case requests
    /// Requests that failed because of it.
    case failures
    /// Times that it was left out after failures.
    case ejections
    /// Requests under way.
    case active
    /// Whether it is left out now: 1 in each worker that does.
    case ejected

    /// Whether it can fall.
    public var isGauge: Bool { self == .active || self == .ejected }

    /// Its name and meaning in Prometheus' exposition.
    public var exposition: (name: String, help: String) {
        switch self {
        case .requests: ("everyhop_server_requests_total", "Requests by server.")
        case .failures: ("everyhop_server_failures_total", "Requests that failed because of the server.")
        case .ejections: ("everyhop_server_ejections_total", "Times that the server was left out after failures.")
        case .active: ("everyhop_server_requests", "Requests under way.")
        case .ejected: ("everyhop_server_ejected", "Workers that leave the server out now.")
        }
    }
}

/// What is counted per database.
public enum DatabaseCounter: Int, CaseIterable, Sendable {
    /// Sessions begun by applications.
    case sessions
    /// Sessions now.
    case active
    /// Sessions whose login reached the server.
    case established
    /// Sessions refused because of the application: not its protocol, or not encrypted as the binding demands.
    case refused
    /// Sessions that failed because of the server: not reached, no TLS, too slow.
    case failures
    /// Servers that are not the ones that are trusted.
    case verificationFailures
    /// Bytes from applications to the server, before encryption.
    case bytesToServer
    /// Bytes from the server to applications, after decryption.
    case bytesToClient

    /// Whether it can fall.
    public var isGauge: Bool { self == .active }

    /// Its name and meaning in Prometheus' exposition.
    public var exposition: (name: String, help: String) {
        switch self {
        case .sessions: ("everyhop_database_sessions_total", "Sessions begun by applications.")
        case .active: ("everyhop_database_sessions", "Sessions now.")
        case .established: ("everyhop_database_sessions_established_total", "Sessions that reached the server.")
        case .refused: ("everyhop_database_sessions_refused_total", "Sessions refused because of the application.")
        case .failures: ("everyhop_database_failures_total", "Sessions that failed because of the server.")
        case .verificationFailures:
            ("everyhop_database_verification_failures_total", "Servers that are not the ones that are trusted.")
        case .bytesToServer: ("everyhop_database_bytes_sent_total", "Plaintext bytes for the server.")
        case .bytesToClient: ("everyhop_database_bytes_received_total", "Plaintext bytes from the server.")
        }
    }
}
