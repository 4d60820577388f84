import Bytes

/// What breaks a request that came as an HTTP/2 field section (RFC 9113 §8.2, §8.3).
extension RequestHead {
    /// Overwrites this head with a request in HTTP/2's form, as strictly as one in HTTP/1.1's: what an HTTP/1.1 server
    /// could read in another way is refused, so that nothing is smuggled when the request is written down again.
    ///
    /// - Parameters:
    ///   - section: the fields as they came, pseudo-header fields first; taken over with their memory, so it is empty then.
    ///   - endsStream: whether no body follows.
    public mutating func assemble(from section: inout HeaderBlock, endsStream: Bool) throws(RequestError) {
        removeAll()
        majorVersion = 2
        swap(&fields, &section)
        do throws(RequestError) {
            var pseudo = PseudoFields()
            let regular = try pseudo.collect(fields)
            try takePseudoFields(pseudo)
            try takeFields(from: regular)
        } catch {
            // Nothing is read from fields that nobody has checked.
            fields.removeFirst(fields.count)
            throw error
        }
        try checkAuthority()
        try frame(endsStream: endsStream)
        if let expect = fields.first(.expect) {
            guard ASCII.equalIgnoringCase(fields.value(expect), "100-continue") else { throw .unknownExpectation }
            expectsContinue = !endsStream
        }
    }

    private mutating func takePseudoFields(_ pseudo: PseudoFields) throws(RequestError) {
        guard let methodIndex = pseudo.method, let pathIndex = pseudo.path, let schemeIndex = pseudo.scheme else {
            throw .malformedRequestLine
        }
        guard ASCII.equal(fields.value(schemeIndex), "https") || ASCII.equal(fields.value(schemeIndex), "http") else {
            throw .invalidTarget
        }
        methodRange = fields[methodIndex].value
        targetRange = fields[pathIndex].value
        if let index = pseudo.authority { authorityRange = fields[index].value }
        guard Self.isMethod(methodBytes) else { throw .malformedRequestLine }
        method = RequestLine.method(fields.arena.bytes.extracting(methodRange))
        if method == .connect {
            // RFC 8441: the only tunnel that is made, since it is as good as an upgrade.
            guard let index = pseudo.protocolName, ASCII.equal(fields.value(index), "websocket") else {
                throw .connectRefused
            }
            upgrade = .webSocket
            upgradeRange = fields[index].value
            method = .get
            methodRange = fields.arena.append("GET")
        } else if pseudo.protocolName != nil {
            throw .malformedRequestLine
        }
        guard Self.isTarget(target, method) else { throw .invalidTarget }
    }

    private static func isTarget(_ path: Span<UInt8>, _ method: Method) -> Bool {
        guard !path.isEmpty else { return false }
        for index in path.indices where path[index] <= 0x20 || path[index] >= 0x7F || path[index] == 0x23 {
            return false
        }
        return path[0] == 0x2F || (path.count == 1 && path[0] == 0x2A && method == .options)
    }

    private static func isMethod(_ name: Span<UInt8>) -> Bool {
        guard !name.isEmpty, name.count <= 32 else { return false }
        for index in name.indices where !ASCII.isToken(name[index]) { return false }
        return true
    }

    /// RFC 9113 §8.2.1 and §8.2.2; cookies become one line again (§8.2.3).
    private mutating func takeFields(from start: Int) throws(RequestError) {
        var cookies = 0
        for index in start..<fields.count {
            try Self.check(name: fields.name(index), value: fields.value(index))
            switch fields[index].id {
            case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: throw .connectionField
            case .te:
                guard ASCII.equalIgnoringCase(fields.value(index), "trailers") else { throw .connectionField }
                acceptsTrailers = true
            case .other:
                let name = fields.name(index)
                if name.count == 6, ASCII.equal(name, "cookie") { cookies += 1 }
            case .underscored, .accept, .authorization, .clientCertificate, .contentLength, .date, .expect,
                .forwarded, .host,
                .proxyAuthenticate,
                .proxyAuthorization, .trailer, .via, .wwwAuthenticate, .xForwardedFor, .xForwardedHost, .xForwardedPort,
                .xForwardedProto, .xRequestID, .contentLocation, .contentSecurityPolicy, .link, .location, .refresh,
                .setCookie, .strictTransportSecurity:
                break
            }
        }
        fields.removeFirst(start)
        if cookies > 1 { joinCookies() }
        // RFC 8441 §5: not used; the request that is sent on has one of ours.
        if upgrade != nil { fields.removeAll("sec-websocket-key") }
    }

    private mutating func joinCookies() {
        let name = fields.arena.append("cookie")
        let begin = fields.arena.count
        for index in 0..<fields.count where ASCII.equal(fields.name(index), "cookie") {
            if fields.arena.count > begin { fields.arena.append("; ") }
            fields.arena.append(fields[index].value)
        }
        let end = fields.arena.count
        fields.removeAll("cookie")
        fields.append(name: name, value: begin..<end)
    }

    static func check(name: Span<UInt8>, value: Span<UInt8>) throws(RequestError) {
        guard !name.isEmpty else { throw .invalidFieldName }
        for index in name.indices {
            let byte = name[index]
            guard ASCII.isToken(byte), byte &- 0x41 >= 26 else { throw .invalidFieldName }
        }
        guard ASCII.isFieldContent(value, 0..<value.count) else { throw .invalidFieldValue }
        guard !value.isEmpty else { return }
        guard !isSpace(value[0]), !isSpace(value[value.count - 1]) else { throw .invalidFieldValue }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// RFC 9113 §8.3.1: `:authority`, or Host in its stead; both only when they agree.
    private mutating func checkAuthority() throws(RequestError) {
        let count = fields.count(of: .host)
        guard count <= 1 else { throw .severalHosts }
        if let index = fields.first(.host) {
            guard authorityRange.isEmpty || ASCII.equalIgnoringCase(authority, fields.value(index)) else {
                throw .hostMismatch
            }
            authorityRange = fields[index].value
        }
        guard !authorityRange.isEmpty else { throw .missingHost }
        guard HostSyntax.isValid(fields.arena.bytes, authorityRange) else { throw .invalidHost }
    }

    /// RFC 9113 §8.1.1: a length that is told has to be the one that comes; the session layer counts the bytes.
    private mutating func frame(endsStream: Bool) throws(RequestError) {
        var length: UInt64?
        if let index = fields.first(.contentLength) {
            guard fields.count(of: .contentLength) == 1, let told = ASCII.decimal(fields.value(index)),
                told <= UInt64(Int64.max), !endsStream || told == 0
            else { throw .invalidContentLength }
            length = told
        }
        if upgrade != nil {
            guard length == nil else { throw .invalidContentLength }
            framing = .untilClose
        } else if let length {
            framing = .length(length)
        } else if endsStream {
            framing = expectsContent ? .length(0) : .none
        } else {
            framing = .chunked
        }
    }

    /// RFC 9110 §8.6: a server may answer 411 to such a request when it tells no length.
    private var expectsContent: Bool {
        switch method {
        case .post, .put, .patch: true
        case .get, .head, .delete, .options, .trace, .connect, .other: false
        }
    }
}

/// Where a field section has its pseudo-header fields (RFC 9113 §8.3): before all others, each once.
private struct PseudoFields {
    var method: Int?
    var scheme: Int?
    var path: Int?
    var authority: Int?
    var protocolName: Int?

    /// - Returns: the place of the first other field.
    mutating func collect(_ section: borrowing HeaderBlock) throws(RequestError) -> Int {
        var index = 0
        while index < section.count, let first = section.name(index).first, first == 0x3A {
            let name = section.name(index)
            switch name.count {
            case 5 where path == nil && ASCII.equal(name, ":path"): path = index
            case 7 where method == nil && ASCII.equal(name, ":method"): method = index
            case 7 where scheme == nil && ASCII.equal(name, ":scheme"): scheme = index
            case 9 where protocolName == nil && ASCII.equal(name, ":protocol"): protocolName = index
            case 10 where authority == nil && ASCII.equal(name, ":authority"): authority = index
            default: throw .invalidFieldName
            }
            index += 1
        }
        return index
    }
}

extension Span where Element == UInt8 {
    fileprivate var first: UInt8? { isEmpty ? nil : self[0] }
}
