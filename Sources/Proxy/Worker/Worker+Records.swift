import Bytes
import Config
import HTTP
import Platform
import TLS
import Telemetry

/// What a worker writes down: the access log's line of an exchange, and why clients and servers failed.
extension Worker {
    /// Counts an exchange that has ended and writes its line, with the TLS of both hops.
    func record(_ exchange: Exchange, _ client: ClientIdentity) {
        count(exchange)
        guard accessLog != nil else { return }
        let unixMilliseconds = Clock.unixMicroseconds() / 1000
        let showsQuery = snapshot.configuration.log.query
        accessLog?.append { line in
            line.field("time_ms", unixMilliseconds)
            let digits = exchange.requestID.digits
            line.field("request_id", digits.span)
            let host = client.host
            line.field("client", host.span)
            line.field("client_port", UInt64(client.peer.port))
            if let balancer = client.origin.balancer { line.field("passed_on_by", balancer.host) }
            if let site = exchange.site { line.field("site", snapshot.configuration.sites[site].name) }
            Self.request(exchange.request, showsQuery: showsQuery, &line)
            line.field("status", UInt64(exchange.status))
            line.field("bytes_in", exchange.bytesFromClient)
            line.field("bytes_out", exchange.bytesToClient)
            Self.times(exchange.times, &line)
            Self.clientTLS(client, &line)
            serverFields(exchange, &line)
            if let failure = exchange.failure { line.field("error", failure) }
        }
    }

    /// A server failed; a failure of trust is counted and logged apart.
    func report(_ reason: UpstreamFailure, of place: ServerPlace) {
        var isTrust = false
        let name = pools[place.pool].settings.name
        switch reason {
        case .handshake(.verification(let failure)):
            isTrust = true
            metrics.add(.upstreamVerificationFailures)
            if case .pinMismatch = failure { metrics.add(.pinMismatches) }
            noteRefusal(HopRefusal(hop: .app, name: name, peer: "\(place.address)", reason: "\(failure)"))
        case .connect, .connectTimeout, .handshake: metrics.add(.upstreamConnectFailures)
        case .responseTimeout: metrics.add(.upstreamTimeouts)
        case .noHTTP2, .needsHTTP1, .http2, .streamReset, .tunnelTimeout, .broken, .closedEarly, .badResponse, .badBody,
            .unexpectedUpgrade, .noServer, .busy,
            .queueFull, .maintenance, .exhausted:
            break
        }
        log.server(name, place.address, reason.description, isTrust: isTrust)
    }

    private func count(_ exchange: Exchange) {
        switch exchange.status {
        case 200..<300: metrics.add(.responses2xx)
        case 300..<400: metrics.add(.responses3xx)
        case 400..<500: metrics.add(.responses4xx)
        default: metrics.add(.responses5xx)
        }
        let times = exchange.times
        metrics.record(.request, microseconds: times.end &- times.firstByteIn)
        if times.connected > 0 { metrics.record(.upstreamConnect, microseconds: times.connected &- times.connectStart) }
        if times.firstByte > 0 { metrics.record(.upstreamFirstByte, microseconds: times.firstByte &- times.connected) }
    }

    private static func request(_ head: borrowing RequestHead, showsQuery: Bool, _ line: inout JSONLine) {
        line.field("host", head.authority)
        line.field("method", head.methodBytes)
        if ShownProofs.isAskedFor(head.path) {
            // What follows is what is proved with.
            line.field("path", "\(ShownProofs.path)")
        } else if showsQuery {
            line.field("path", head.target)
        } else {
            line.field("path", head.path)
        }
    }

    private static func times(_ times: ExchangeTimes, _ line: inout JSONLine) {
        line.field("total_us", times.end &- times.firstByteIn)
        if times.headComplete > 0 { line.field("head_us", times.headComplete &- times.firstByteIn) }
        if times.connected > 0 { line.field("connect_us", times.connected &- times.connectStart) }
        if times.firstByte > 0 { line.field("first_byte_us", times.firstByte &- times.connected) }
    }

    private static func clientTLS(_ client: ClientIdentity, _ line: inout JSONLine) {
        guard let facts = client.facts else { return }
        line.field("tls_version", facts.version)
        line.field("tls_cipher", facts.cipher)
        line.field("tls_group", facts.group)
        line.field("tls_resumed", facts.resumed)
        if let name = facts.serverName { line.field("tls_sni", name) }
        if let alpn = facts.alpn { line.field("tls_alpn", alpn) }
        line.field("handshake_us", client.handshakeMicroseconds)
        guard let certificate = facts.clientCertificate else { return }
        line.field("client_certificate_subject", certificate.subject)
        line.field("client_certificate_issuer", certificate.issuer)
        line.field("client_certificate_serial", certificate.serial)
        line.field("client_certificate_fingerprint", certificate.fingerprint)
    }

    private func serverFields(_ exchange: Exchange, _ line: inout JSONLine) {
        if let folder = exchange.files.folder { line.field("root", folder.settings.path.value) }
        guard let route = exchange.route else { return }
        line.field("upstream", pools[route.pool].settings.name)
        guard let address = exchange.serverFacts.address else { return }
        line.field("server", address.description)
        line.field("server_reused", exchange.serverFacts.reused)
        line.field("server_plaintext", pools[route.pool].settings.plaintext)
        // Without a handshake there is nothing to tell.
        guard let facts = exchange.serverFacts.tls else { return }
        line.field("server_tls_version", facts.version)
        line.field("server_tls_cipher", facts.cipher)
        line.field("server_tls_group", facts.group)
        line.field("server_tls_resumed", facts.resumed)
        line.field("server_pin_matched", facts.pinMatched)
    }
}
