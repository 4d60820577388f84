public import Bytes

/// Writes a response as the proxy sends it to the client.
public enum ResponseWriter {
    /// Writes a whole head.
    ///
    /// - Parameters:
    ///   - framing: how the body is framed towards the client, which may differ from how it came.
    ///   - keepAlive: whether another request may follow.
    ///   - added: whole field lines of our own.
    public static func write(
        _ head: borrowing ResponseHead,
        framing: BodyFraming,
        keepAlive: Bool,
        requestMinorVersion: Int,
        requestID: RequestID,
        added: [UInt8],
        into queue: inout ByteQueue
    ) {
        writeStatusLine(head, into: &queue)
        writeEndToEnd(head, into: &queue)
        queue.append(added.span)
        switch framing {
        case .length(let length):
            queue.append("Content-Length: ")
            queue.append(decimal: length)
            queue.append("\r\n")
        case .chunked: queue.append("Transfer-Encoding: chunked\r\n")
        case .none: keepLength(head, into: &queue)
        case .untilClose: break
        }
        queue.append(head.minorVersion >= 1 ? "Via: 1.1 everyhop\r\n" : "Via: 1.0 everyhop\r\n")
        queue.append("X-Request-ID: ")
        requestID.write(into: &queue)
        if !keepAlive {
            queue.append("\r\nConnection: close\r\n\r\n")
        } else if requestMinorVersion == 0 {
            queue.append("\r\nConnection: keep-alive\r\n\r\n")
        } else {
            queue.append("\r\n\r\n")
        }
    }

    /// Writes the head that a connection changes its protocol with.
    ///
    /// - Parameter majorVersion: 2 for a client in HTTP/2, where a success is 200 and the proof of the handshake is left
    ///   out (RFC 8441 §5).
    public static func writeUpgrade(
        _ head: borrowing ResponseHead,
        majorVersion: Int,
        requestID: RequestID,
        into queue: inout ByteQueue
    ) {
        if majorVersion == 2 {
            queue.append("HTTP/1.1 200 OK\r\n")
        } else {
            writeStatusLine(head, into: &queue)
            queue.append("Connection: Upgrade\r\nUpgrade: ")
            queue.append(head.upgradeName)
            queue.append("\r\n")
        }
        writeEndToEnd(head, majorVersion: majorVersion, into: &queue)
        queue.append("Via: 1.1 everyhop\r\nX-Request-ID: ")
        requestID.write(into: &queue)
        queue.append("\r\n\r\n")
    }

    /// Writes an interim head (RFC 9110 §15.2).
    public static func writeInterim(_ head: borrowing ResponseHead, into queue: inout ByteQueue) {
        writeStatusLine(head, into: &queue)
        writeEndToEnd(head, into: &queue)
        queue.append("\r\n")
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
        majorVersion: Int = 1,
        into queue: inout ByteQueue
    ) {
        let nominates = head.fields.first(.connection) != nil
        for index in 0..<head.fields.count {
            switch head.fields[index].id {
            case .underscored, .connection, .contentLength, .keepAlive, .proxyAuthenticate, .proxyConnection, .te,
                .trailer, .transferEncoding, .upgrade, .xRequestID:
                continue
            case .other, .accept, .authorization, .date, .expect, .wwwAuthenticate, .forwarded, .host,
                .proxyAuthorization, .via, .xForwardedFor,
                .xForwardedHost, .xForwardedPort, .xForwardedProto:
                if nominates, head.fields.isNominated(head.fields.name(index)) { continue }
                if majorVersion == 2, ASCII.equalIgnoringCase(head.fields.name(index), "sec-websocket-accept") {
                    continue
                }
                RequestWriter.writeLine(head.fields, index, into: &queue)
            }
        }
    }

    /// RFC 9110 §8.6: the length that a response to HEAD, or a 304, tells is kept; 1xx and 204 have none.
    private static func keepLength(_ head: borrowing ResponseHead, into queue: inout ByteQueue) {
        guard head.status >= 200, head.status != 204, let index = head.fields.first(.contentLength) else { return }
        RequestWriter.writeLine(head.fields, index, into: &queue)
    }
}
