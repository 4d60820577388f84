public import Bytes

/// Writes a response as the proxy sends it to the client.
public enum ResponseWriter {
    /// Writes a whole head.
    ///
    /// - Parameters:
    ///   - request: what is answered.
    ///   - framing: how the body is framed towards the client, which may differ from how it came.
    public static func write(
        _ head: borrowing ResponseHead,
        answering request: borrowing RequestHead,
        framing: BodyFraming,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        writeStart(head, request, context, into: &queue)
        writeAdded(head, request, context, into: &queue)
        switch framing {
        case .length(let length):
            queue.append("Content-Length: ")
            queue.append(decimal: length)
            queue.append("\r\n")
        case .chunked: queue.append("Transfer-Encoding: chunked\r\n")
        case .none: keepLength(head, into: &queue)
        case .untilClose: break
        }
        // RFC 9110 §7.6.3: for messages that were passed on.
        if !head.isOwn {
            if head.minorVersion >= 1 {
                queue.append("Via: 1.1 everyhop\r\n")
            } else {
                queue.append("Via: 1.0 everyhop\r\n")
            }
        }
        queue.append("X-Request-ID: ")
        context.forwarding.requestID.write(into: &queue)
        if !context.keepAlive {
            queue.append("\r\nConnection: close\r\n\r\n")
        } else if request.minorVersion == 0 {
            queue.append("\r\nConnection: keep-alive\r\n\r\n")
        } else {
            queue.append("\r\n\r\n")
        }
    }

    /// Writes the head that a connection changes its protocol with.
    ///
    /// For a client in HTTP/2 a success is 200, and the proof of the handshake is left out (RFC 8441 §5).
    public static func writeUpgrade(
        _ head: borrowing ResponseHead,
        answering request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        if request.majorVersion == 2 {
            queue.append("HTTP/1.1 200 OK\r\n")
        } else {
            writeStatusLine(head, into: &queue)
            queue.append("Connection: Upgrade\r\nUpgrade: ")
            queue.append(head.upgradeName)
            queue.append("\r\n")
        }
        writeEndToEnd(head, request, context, withoutProof: request.majorVersion == 2, into: &queue)
        writeAdded(head, request, context, into: &queue)
        queue.append("Via: 1.1 everyhop\r\nX-Request-ID: ")
        context.forwarding.requestID.write(into: &queue)
        queue.append("\r\n\r\n")
    }

    /// Writes an interim head (RFC 9110 §15.2), to which nothing is added.
    public static func writeInterim(
        _ head: borrowing ResponseHead,
        answering request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        writeStart(head, request, context, into: &queue)
        queue.append("\r\n")
    }

    /// The status line and the fields that are passed on.
    private static func writeStart(
        _ head: borrowing ResponseHead,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        if head.statusLine.isEmpty { writeStatusLine(head, into: &queue) }
        writeEndToEnd(head, request, context, behind: head.statusLine, into: &queue)
    }

    private static func writeStatusLine(_ head: borrowing ResponseHead, into queue: inout ByteQueue) {
        queue.append("HTTP/1.1 ")
        queue.append(decimal: UInt64(truncatingIfNeeded: head.status))
        queue.append(" ")
        queue.append(head.reason)
        queue.append("\r\n")
    }

    private static func writeEndToEnd(
        _ head: borrowing ResponseHead,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        withoutProof: Bool = false,
        behind start: Range<Int> = 0..<0,
        into queue: inout ByteQueue
    ) {
        var lines = FieldLineWriter(start)
        let rules = context.forwarding.rules
        let nominates = head.fields.options.contains(.others)
        for index in 0..<head.fields.count {
            let id = head.fields[index].id
            switch id {
            case .underscored, .connection, .contentLength, .keepAlive, .proxyAuthenticate, .proxyConnection, .te,
                .trailer, .transferEncoding, .upgrade, .xRequestID:
                continue
            case .other, .accept, .authorization, .clientCertificate, .date, .expect, .wwwAuthenticate, .forwarded,
                .host,
                .proxyAuthorization, .via, .xForwardedFor,
                .xForwardedHost, .xForwardedPort, .xForwardedProto, .contentSecurityPolicy:
                if isDropped(head.fields, index, nominates, rules) { continue }
                if withoutProof, ASCII.equalIgnoringCase(head.fields.name(index), "sec-websocket-accept") { continue }
                lines.write(head.fields, index, into: &queue)
            case .strictTransportSecurity:
                if rules.strictTransport != nil || isDropped(head.fields, index, nominates, rules) { continue }
                lines.write(head.fields, index, into: &queue)
            case .contentLocation, .link, .location, .refresh, .setCookie:
                if isDropped(head.fields, index, nominates, rules) { continue }
                guard id == .setCookie ? rules.changesCookies : rules.changesReferences else {
                    lines.write(head.fields, index, into: &queue)
                    continue
                }
                lines.end(head.fields, into: &queue)
                writeRewritten(id, head.fields, index, request, context, into: &queue)
            }
        }
        lines.end(head.fields, into: &queue)
    }

    private static func isDropped(
        _ fields: borrowing HeaderBlock,
        _ index: Int,
        _ nominates: Bool,
        _ rules: SiteRules
    ) -> Bool {
        if nominates, fields.isNominated(fields.name(index)) { return true }
        guard let changes = rules.responseFields else { return false }
        return changes.drops(fields.name(index))
    }

    private static func writeRewritten(
        _ id: FieldName,
        _ fields: borrowing HeaderBlock,
        _ index: Int,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        queue.append(fields.name(index))
        queue.append(": ")
        if id == .setCookie {
            var cookie = CookieWriter(fields.value(index))
            cookie.write(context.forwarding.rules, answering: request.hostName, into: &queue)
        } else if id == .refresh {
            ReferenceFields.writeRefresh(fields.value(index), request, context, into: &queue)
        } else if id == .link {
            ReferenceFields.writeLink(fields.value(index), request, context, into: &queue)
        } else {
            ReferenceFields.writeReference(fields.value(index), request, context, into: &queue)
        }
        queue.append("\r\n")
    }

    /// What the site adds to a final head.
    private static func writeAdded(
        _ head: borrowing ResponseHead,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        if !context.added.isEmpty { queue.append(context.added.span) }
        let rules = context.forwarding.rules
        guard rules.addsToResponses else { return }
        if let value = rules.strictTransport {
            queue.append("Strict-Transport-Security: ")
            queue.append(value.span)
            queue.append("\r\n")
        }
        // A policy of its own: a browser obeys all of them, and those of the application keep their words (CSP3 §8.1).
        if rules.upgradesInsecureRequests, rules.dropsPolicies || !SecurityPolicy.upgrades(head.fields) {
            queue.append("Content-Security-Policy: upgrade-insecure-requests\r\n")
        }
        rules.responseFields?.write(request, context.forwarding, into: &queue)
    }

    /// RFC 9110 §8.6: the length that a response to HEAD, or a 304, tells is kept; 1xx and 204 have none.
    private static func keepLength(_ head: borrowing ResponseHead, into queue: inout ByteQueue) {
        guard head.status >= 200, head.status != 204, let index = head.fields.first(.contentLength) else { return }
        FieldLineWriter.writeOne(head.fields, index, into: &queue)
    }
}
