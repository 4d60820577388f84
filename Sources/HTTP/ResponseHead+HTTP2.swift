import Bytes

extension ResponseHead {
    /// Overwrites this head with a response in HTTP/2's form (RFC 9113 §8.3.2), as strictly as one in HTTP/1.1's.
    ///
    /// - Parameters:
    ///   - section: the fields as they came; taken over with their memory, so it is empty then.
    ///   - requestMethod: what was asked; it decides whether there is a body.
    ///   - endsStream: whether no body follows.
    public mutating func assemble(
        from section: inout HeaderBlock,
        requestMethod: Method,
        endsStream: Bool
    ) throws(ResponseError) {
        removeAll()
        swap(&fields, &section)
        do throws(ResponseError) {
            try takeFields()
        } catch {
            fields.removeFirst(fields.count)
            throw error
        }
        try frame(requestMethod, endsStream: endsStream)
    }

    private mutating func takeFields() throws(ResponseError) {
        guard fields.count > 0, ASCII.equal(fields.name(0), ":status"),
            fields.value(0).count == 3, let status = ASCII.decimal(fields.value(0)), (100...599).contains(status),
            status != 101
        else { throw .malformedStatusLine }
        self.status = Int(truncatingIfNeeded: status)
        for index in 1..<fields.count {
            do throws(RequestError) {
                try RequestHead.check(name: fields.name(index), value: fields.value(index))
            } catch { throw .malformedField }
            switch fields[index].id {
            case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: throw .malformedField
            case .accept, .authorization, .clientCertificate, .contentLength, .date, .expect, .forwarded, .host, .other,
                .proxyAuthenticate, .proxyAuthorization, .te, .trailer, .underscored, .via, .wwwAuthenticate,
                .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID,
                .contentLocation, .contentSecurityPolicy, .link, .location, .refresh, .setCookie,
                .strictTransportSecurity:
                break
            }
        }
        fields.removeFirst(1)
    }

    private mutating func frame(_ method: Method, endsStream: Bool) throws(ResponseError) {
        var length: UInt64?
        if let index = fields.first(.contentLength) {
            guard fields.count(of: .contentLength) == 1, let told = ASCII.decimal(fields.value(index)),
                told <= UInt64(Int64.max)
            else { throw .invalidContentLength }
            length = told
        }
        if method == .head || status < 200 || status == 204 || status == 304 {
            framing = .none
        } else if endsStream {
            // A client in HTTP/1.1 has no other sign of the end.
            framing = .length(0)
        } else if let length {
            framing = .length(length)
        } else {
            framing = .chunked
        }
    }
}
