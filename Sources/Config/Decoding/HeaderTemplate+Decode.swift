extension Rewriting.Headers {
    /// Reads `set`, `add` and `remove`.
    init(_ table: TableReader) {
        replaced = Self.templates("set", of: table)
        added = Self.templates("add", of: table)
        for name in table.strings("remove") ?? [] where Self.check(name, table) { removed.append(name.value) }
        table.finish()
        var seen: Set<String> = []
        for name in replaced.map(\.name) + removed where !seen.insert(HeaderName.folded(name)).inserted {
            table.complain(
                at: table.position,
                "\(table.label) sets or removes \"\(name)\" twice",
                fix: "name it once; set replaces every field of that name"
            )
        }
    }

    private static func templates(_ key: String, of table: TableReader) -> [HeaderTemplate] {
        guard let inner = table.table(key, label: "\(table.label) \(key)") else { return [] }
        return inner.all().compactMap { entry in
            let name = Located(value: entry.key, position: entry.keyPosition)
            guard check(name, table) else { return nil }
            guard case .string(let text) = entry.node.value else {
                table.complain(at: entry.node.position, "\(entry.key) has to be a string, not \(entry.node.kindName)")
                return nil
            }
            let value = Located(value: text, position: entry.node.position)
            return pieces(value, table).map { HeaderTemplate(name: entry.key, pieces: $0) }
        }
    }

    private static func check(_ name: Located<String>, _ table: TableReader) -> Bool {
        guard HeaderName.isValid(name.value) else {
            table.complain(at: name.position, "\"\(name.value)\" is not the name of a header")
            return false
        }
        guard !HeaderName.isReserved(HeaderName.folded(name.value)) else {
            table.complain(
                at: name.position,
                "\(name.value) is everyhop's own to write",
                fix: HeaderName.folded(name.value) == "host" ? "use the site's upstream_host" : "leave it out"
            )
            return false
        }
        return true
    }

    /// Text and `${variables}`; a dollar sign is written twice.
    private static func pieces(_ value: Located<String>, _ table: TableReader) -> [HeaderTemplate.Piece]? {
        let bytes = Array(value.value.utf8)
        guard !bytes.isEmpty, bytes.first != 0x20, bytes.last != 0x20,
            bytes.allSatisfy({ (0x20...0x7E).contains($0) })
        else {
            table.complain(
                at: value.position,
                bytes.isEmpty ? "the value is empty" : "the value is not one line of printable ASCII",
                fix: bytes.isEmpty ? "use remove to drop a header" : "drop control characters and spaces at the ends"
            )
            return nil
        }
        var pieces: [HeaderTemplate.Piece] = []
        var rest = value.value[...]
        while let dollar = rest.firstIndex(of: "$") {
            if dollar > rest.startIndex { pieces.append(.text(String(rest[..<dollar]))) }
            rest = rest[rest.index(after: dollar)...]
            if rest.first == "$" {
                pieces.append(.text("$"))
                rest = rest.dropFirst()
            } else if rest.first == "{", let end = rest.firstIndex(of: "}"),
                let variable = HeaderTemplate.Variable(rawValue: String(rest[..<end].dropFirst()))
            {
                pieces.append(.variable(variable))
                rest = rest[rest.index(after: end)...]
            } else {
                let names = HeaderTemplate.Variable.allCases.map { "${\($0.rawValue)}" }.joined(separator: ", ")
                table.complain(
                    at: value.position,
                    "a \"$\" in \"\(value.value)\" begins no known variable",
                    fix: "use \(names), or $$ for a dollar sign"
                )
                return nil
            }
        }
        if !rest.isEmpty { pieces.append(.text(String(rest))) }
        return pieces
    }
}

/// Names of header fields.
enum HeaderName {
    /// What frames messages, belongs to one hop, or is everyhop's word about the client.
    static let reserved: Set<String> = [
        "connection", "content-length", "expect", "forwarded", "host", "http2-settings", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "sec-websocket-accept", "sec-websocket-key",
        "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-port", "x-forwarded-proto",
        "x-request-id",
    ]

    /// - Parameter name: folded.
    static func isReserved(_ name: String) -> Bool {
        reserved.contains(name) || name.hasPrefix("x-client-certificate")
    }

    /// In small letters, with hyphens for underscores: servers of the CGI kind take both for the same.
    static func folded(_ name: String) -> String {
        String(decoding: name.lowercased().utf8.map { $0 == 0x5F ? 0x2D : $0 }, as: UTF8.self)
    }

    /// RFC 9110 §5.6.2, a token.
    static func isValid(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }
}
