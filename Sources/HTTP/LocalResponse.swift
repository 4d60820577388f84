public import Bytes

/// Responses of our own: errors as a small page or as JSON, and the redirect to https.
///
/// No internals, no markup from the request.
public enum LocalResponse {
    /// Writes an error.
    ///
    /// - Parameters:
    ///   - answer: what the configuration answers with; without a body of its own it gets the usual page.
    ///   - retryAfter: when the client may come again, in seconds.
    ///   - json: JSON instead of HTML, by what the client accepts.
    ///   - headOnly: the request was HEAD.
    ///   - added: whole field lines of the site's.
    public static func write(
        status: Int,
        answer: LocalAnswer? = nil,
        retryAfter: UInt64? = nil,
        requestID: RequestID,
        json: Bool,
        headOnly: Bool,
        keepAlive: Bool,
        date: DateCache,
        added: [UInt8] = [],
        into queue: inout ByteQueue
    ) {
        let reason = phrase(status)
        if let answer, answer.isWhole {
            writeHead(status, reason, keepAlive: keepAlive, date, into: &queue)
            queue.append(added.span)
            writeRest(answer, requestID, headOnly: headOnly, into: &queue)
            return
        }
        let length = json ? jsonLength(reason) : pageLength(reason)
        writeHead(status, reason, keepAlive: keepAlive, date, into: &queue)
        queue.append(added.span)
        queue.append(json ? "Content-Type: application/json\r\n" : "Content-Type: text/html; charset=utf-8\r\n")
        queue.append("Content-Length: ")
        queue.append(decimal: UInt64(truncatingIfNeeded: length))
        // RFC 9110 §10.2.3: whoever is turned away for want of a server may come again soon.
        if status == 503 || status == 429 {
            queue.append("\r\nRetry-After: ")
            queue.append(decimal: retryAfter ?? 5)
        }
        queue.append("\r\nX-Content-Type-Options: nosniff\r\nX-Request-ID: ")
        requestID.write(into: &queue)
        queue.append("\r\n\r\n")
        guard !headOnly else { return }
        if json {
            writeJSON(status, reason, requestID, into: &queue)
        } else {
            writePage(status, reason, requestID, into: &queue)
        }
    }

    private static func writeRest(
        _ answer: LocalAnswer,
        _ requestID: RequestID,
        headOnly: Bool,
        into queue: inout ByteQueue
    ) {
        if let location = answer.location {
            queue.append("Location: ")
            queue.append(location.span)
            queue.append("\r\n")
        }
        let body = answer.body ?? []
        if !body.isEmpty {
            let contentType = answer.contentType
            queue.append("Content-Type: ")
            queue.append(contentType.span)
            queue.append("\r\nX-Content-Type-Options: nosniff\r\n")
        }
        // RFC 9110 §8.6, §15.4.5: these have no body, and say nothing of its length.
        if answer.status != 204, answer.status != 304 {
            queue.append("Content-Length: ")
            queue.append(decimal: UInt64(truncatingIfNeeded: body.count))
            queue.append("\r\n")
        }
        if answer.status == 503 { queue.append("Retry-After: 5\r\n") }
        queue.append("X-Request-ID: ")
        requestID.write(into: &queue)
        queue.append("\r\n\r\n")
        if !headOnly { queue.append(body.span) }
    }

    /// Writes 308 (Permanent Redirect) to the same target over https: the method and the body are kept, so nothing that
    /// was sent once in plain is sent again in another form.
    ///
    /// - Parameter port: added to the host when it is not 443.
    public static func redirect(
        _ head: borrowing RequestHead,
        port: UInt16,
        requestID: RequestID,
        date: DateCache,
        into queue: inout ByteQueue
    ) {
        writeHead(308, phrase(308), keepAlive: false, date, into: &queue)
        queue.append("Location: https://")
        queue.append(head.hostName)
        if port != 443 {
            queue.append(":")
            queue.append(decimal: UInt64(port))
        }
        if head.pathIsEmpty || (head.target.count == 1 && head.target[0] == 0x2A) { queue.append("/") }
        if !(head.target.count == 1 && head.target[0] == 0x2A) { queue.append(head.target) }
        queue.append("\r\nContent-Length: 0\r\nX-Request-ID: ")
        requestID.write(into: &queue)
        queue.append("\r\n\r\n")
    }

    private static func writeHead(
        _ status: Int,
        _ reason: StaticString,
        keepAlive: Bool,
        _ date: DateCache,
        into queue: inout ByteQueue
    ) {
        queue.append("HTTP/1.1 ")
        queue.append(decimal: UInt64(truncatingIfNeeded: status))
        queue.append(" ")
        queue.append(reason)
        queue.append("\r\nDate: ")
        date.write(into: &queue)
        queue.append("\r\nCache-Control: no-store\r\n")
        if !keepAlive { queue.append("Connection: close\r\n") }
    }

    // The bodies, piece by piece, so that their length is known before they are written.
    private static var jsonStart: StaticString { "{\"status\":" }
    private static var jsonError: StaticString { ",\"error\":\"" }
    private static var jsonID: StaticString { "\",\"request_id\":\"" }
    private static var jsonEnd: StaticString { "\"}\n" }
    private static var pageStart: StaticString {
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>"
    }
    private static var pageHeading: StaticString { "</title><h1>" }
    private static var pageID: StaticString { "</h1><p>Request " }
    private static var pageEnd: StaticString { "</p></html>\n" }
    private static let statusDigits = 3
    private static let idDigits = 32

    private static func jsonLength(_ reason: StaticString) -> Int {
        count(jsonStart, jsonError, jsonID, jsonEnd) + statusDigits + idDigits + reason.utf8CodeUnitCount
    }

    private static func pageLength(_ reason: StaticString) -> Int {
        count(pageStart, pageHeading, pageID, pageEnd) + 2 * (statusDigits + 1 + reason.utf8CodeUnitCount) + idDigits
    }

    private static func count(_ pieces: StaticString...) -> Int {
        pieces.reduce(0) { $0 + $1.utf8CodeUnitCount }
    }

    private static func writeJSON(
        _ status: Int,
        _ reason: StaticString,
        _ id: RequestID,
        into queue: inout ByteQueue
    ) {
        queue.append(jsonStart)
        queue.append(decimal: UInt64(truncatingIfNeeded: status))
        queue.append(jsonError)
        queue.append(reason)
        queue.append(jsonID)
        id.write(into: &queue)
        queue.append(jsonEnd)
    }

    private static func writePage(
        _ status: Int,
        _ reason: StaticString,
        _ id: RequestID,
        into queue: inout ByteQueue
    ) {
        queue.append(pageStart)
        queue.append(decimal: UInt64(truncatingIfNeeded: status))
        queue.append(" ")
        queue.append(reason)
        queue.append(pageHeading)
        queue.append(decimal: UInt64(truncatingIfNeeded: status))
        queue.append(" ")
        queue.append(reason)
        queue.append(pageID)
        id.write(into: &queue)
        queue.append(pageEnd)
    }

    private static func phrase(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 410: "Gone"
        case 408: "Request Timeout"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }
}
