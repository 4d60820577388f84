public import Bytes

/// Writes a request as the proxy sends it on: hop-by-hop fields removed, its own framing, what it knows of the client.
public enum RequestWriter {
    /// Writes a whole head.
    ///
    /// What the client says of X-Forwarded-*, Forwarded, Via and X-Request-ID is replaced, unless it is trusted: then
    /// the lists are added to and the single values kept.
    public static func write(
        _ head: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        queue.append(head.methodBytes)
        queue.append(" ")
        let rules = context.rules
        if let path = rules.path, path.covers(head.target) {
            path.writeTarget(head.target, into: &queue)
        } else {
            // RFC 9112 §3.2.4: without a path and a query, OPTIONS asks about the server as a whole.
            let isAboutServer = head.method == .options && head.target.isEmpty
            if head.pathIsEmpty { queue.append(isAboutServer ? "*" : "/") }
            queue.append(head.target)
        }
        queue.append(" HTTP/1.1\r\nHost: ")
        if let host = rules.host { queue.append(host.span) } else { queue.append(head.authority) }
        queue.append("\r\n")
        writeEndToEnd(head.fields, rules.requestFields, trusted: context.trusted, into: &queue)
        switch head.framing {
        case .length(let length):
            queue.append("Content-Length: ")
            queue.append(decimal: length)
            queue.append("\r\n")
        case .chunked: queue.append("Transfer-Encoding: chunked\r\n")
        case .none, .untilClose: break
        }
        if head.upgrade != nil { writeUpgrade(head, context, into: &queue) }
        // RFC 9110 §10.1.4: for this hop only, and gRPC does not go without.
        if head.acceptsTrailers, context.serverVersion == .http2 { queue.append("TE: trailers\r\n") }
        if head.expectsContinue { queue.append("Expect: 100-continue\r\n") }
        writeForwarding(head, context, into: &queue)
        rules.requestFields?.write(head, context, into: &queue)
        queue.append(context.certificateFields.span)
        queue.append("\r\n")
    }

    /// RFC 9110 §7.8; what RFC 8441 leaves out of HTTP/2's handshake is put in again (RFC 6455 §4.1).
    private static func writeUpgrade(
        _ head: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        queue.append("Connection: Upgrade\r\nUpgrade: ")
        queue.append(head.upgradeName)
        queue.append("\r\n")
        guard head.majorVersion == 2 else { return }
        queue.append("Sec-WebSocket-Key: ")
        queue.append(context.requestID.base64.span)
        queue.append("\r\n")
    }

    private static func writeEndToEnd(
        _ fields: borrowing HeaderBlock,
        _ changes: FieldRules?,
        trusted: Bool,
        into queue: inout ByteQueue
    ) {
        let nominates = fields.options.contains(.others)
        var lines = FieldLineWriter()
        for index in 0..<fields.count {
            switch fields[index].id {
            case .other, .accept, .authorization, .date, .wwwAuthenticate, .contentLocation, .contentSecurityPolicy,
                .link, .location, .refresh,
                .setCookie, .strictTransportSecurity:
                if nominates, fields.isNominated(fields.name(index)) { continue }
                if let changes, changes.drops(fields.name(index)) { continue }
                if !trusted, ForwardingClaims.isOne(fields.name(index)) { continue }
                lines.write(fields, index, into: &queue)
            case .underscored, .clientCertificate, .connection, .contentLength, .expect, .forwarded, .host, .keepAlive,
                .proxyAuthenticate,
                .proxyAuthorization, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade, .via,
                .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID:
                continue
            }
        }
        lines.end(fields, into: &queue)
    }

    private static func writeForwarding(
        _ head: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        queue.append("X-Forwarded-For: ")
        writeEarlier(.xForwardedFor, head.fields, context, into: &queue)
        queue.append(context.clientAddress.span)
        queue.append("\r\n")
        if !keep(.xForwardedProto, head.fields, context, into: &queue) {
            queue.append(context.scheme == .https ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
        }
        if !keep(.xForwardedHost, head.fields, context, into: &queue), !head.authority.isEmpty {
            queue.append("X-Forwarded-Host: ")
            queue.append(head.authority)
            queue.append("\r\n")
        }
        if !keep(.xForwardedPort, head.fields, context, into: &queue) {
            queue.append("X-Forwarded-Port: ")
            queue.append(decimal: UInt64(context.localPort))
            queue.append("\r\n")
        }
        writeForwarded(head, context, into: &queue)
        queue.append("Via: ")
        writeEarlier(.via, head.fields, context, into: &queue)
        queue.append(
            head.majorVersion == 2
                ? "2.0 everyhop\r\n" : head.minorVersion >= 1 ? "1.1 everyhop\r\n" : "1.0 everyhop\r\n"
        )
        if !keep(.xRequestID, head.fields, context, into: &queue) {
            queue.append("X-Request-ID: ")
            context.requestID.write(into: &queue)
            queue.append("\r\n")
        }
    }

    /// RFC 7239 §4: an IPv6 address is bracketed and quoted, and so is a host with a port.
    private static func writeForwarded(
        _ head: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        queue.append("Forwarded: ")
        writeEarlier(.forwarded, head.fields, context, into: &queue)
        queue.append(context.isIPv6 ? "for=\"[" : "for=")
        queue.append(context.clientAddress.span)
        queue.append(context.isIPv6 ? "]\";proto=" : ";proto=")
        queue.append(context.scheme == .https ? "https" : "http")
        if !head.authority.isEmpty {
            queue.append(";host=\"")
            queue.append(head.authority)
            queue.append("\"")
        }
        queue.append("\r\n")
    }

    /// What a trusted proxy said, as one list that can be added to.
    private static func writeEarlier(
        _ id: FieldName,
        _ fields: borrowing HeaderBlock,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        guard context.trusted else { return }
        for index in 0..<fields.count where fields[index].id == id && !fields.value(index).isEmpty {
            queue.append(fields.value(index))
            queue.append(", ")
        }
    }

    /// Passes a trusted proxy's single value on; false when there is none.
    private static func keep(
        _ id: FieldName,
        _ fields: borrowing HeaderBlock,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) -> Bool {
        guard context.trusted, let index = fields.first(id) else { return false }
        FieldLineWriter.writeOne(fields, index, into: &queue)
        return true
    }
}
