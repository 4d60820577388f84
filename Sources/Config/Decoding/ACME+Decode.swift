extension ACMESettings {
    /// More names than this are no one certificate: authorities stop at a hundred.
    private static let mostNames = 100

    /// - Parameter host: the name of a binding that the table stands in, which it is for if it names no other.
    init?(_ table: TableReader, host: Located<HostPattern>? = nil) {
        table.require("directory", fix: "name the authority's, like \"https://acme-v02.api.letsencrypt.org/directory\"")
        let directory = Self.directory(table)
        let names = Self.names(table, host)
        let email = Self.email(table)
        let challenge = table.word("challenge", Challenge.self) ?? .http01
        let trust = table.table("trust", label: "trust").map { Upstream.Trust($0) }
        let account = table.table("eab", label: "eab")
        let externalAccount = account.flatMap { ExternalAccount($0) }
        let key = table.word("key", Key.self) ?? .ecdsa
        let agreed = table.boolean("terms_agreed")
        table.finish()
        guard agreed == true else {
            table.complain(
                at: table.position,
                "the authority issues nothing before its terms are agreed to",
                fix: "read them and say terms_agreed = true"
            )
            return nil
        }
        guard let directory, let names, account == nil || externalAccount != nil else { return nil }
        self.directory = directory
        self.names = names
        self.email = email
        self.challenge = challenge
        self.trust = trust
        self.externalAccount = externalAccount
        self.key = key
    }

    private static func directory(_ table: TableReader) -> Located<WebAddress>? {
        guard let text = table.string("directory") else { return nil }
        if let address = WebAddress(text.value) { return Located(value: address, position: text.position) }
        table.complain(
            at: text.position,
            "directory \"\(text.value)\" is not an https URL",
            fix: "write it like \"https://acme-v02.api.letsencrypt.org/directory\""
        )
        return nil
    }

    private static func names(_ table: TableReader, _ host: Located<HostPattern>?) -> [Located<HostPattern>]? {
        guard
            let texts = table.strings("names")
                ?? host.map({ [Located(value: $0.value.description, position: $0.position)] })
        else {
            table.require("names", fix: "list the host names that it is for")
            return nil
        }
        guard (1...mostNames).contains(texts.count) else {
            table.complain(at: table.position, "names has to hold 1 to \(mostNames) host names")
            return nil
        }
        var names: [Located<HostPattern>] = []
        for text in texts {
            guard let name = HostPattern(text.value), IPAddress(text.value) == nil else {
                table.complain(
                    at: text.position,
                    "\"\(text.value)\" is not a host name",
                    fix: "authorities issue for names, like \"portal.example.org\""
                )
                continue
            }
            guard !name.isWildcard else {
                table.complain(
                    at: text.position,
                    "\"\(text.value)\" cannot be proved by http-01 or tls-alpn-01",
                    fix: "list each name, or get the certificate elsewhere and give chain and key"
                )
                continue
            }
            if !names.contains(where: { $0.value == name }) {
                names.append(Located(value: name, position: text.position))
            }
        }
        return names.isEmpty ? nil : names
    }

    private static func email(_ table: TableReader) -> String? {
        guard let text = table.string("email") else { return nil }
        let parts = text.value.split(separator: "@", omittingEmptySubsequences: false)
        let isAddress =
            parts.count == 2 && !parts[0].isEmpty && HostPattern(String(parts[1])).map { !$0.isWildcard } == true
            && text.value.utf8.count <= 254
            && text.value.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x2C && $0 != 0x3F && $0 != 0x25 }
        guard isAddress else {
            table.complain(
                at: text.position,
                "email \"\(text.value)\" is not an address",
                fix: "write one, without a name"
            )
            return nil
        }
        return text.value
    }
}

extension ACMESettings.ExternalAccount {
    fileprivate init?(_ table: TableReader) {
        let identifier = table.string("kid")
        let file = table.path("key_file")
        table.require("kid", fix: "say how the authority calls the account")
        table.require("key_file", fix: "name a file that holds the key which the authority has given you")
        table.finish()
        guard let identifier, let file else { return nil }
        self.identifier = identifier.value
        keyFile = file
    }
}

extension Certificate {
    /// A certificate that a binding defines where it uses it: it is called as its first name.
    init?(_ table: TableReader, of host: Located<HostPattern>?) {
        let inner = table.table("acme", label: "acme")
        table.require("acme", fix: "name a [certificate.NAME], or say acme = { ... }")
        table.finish()
        guard let inner, let settings = ACMESettings(inner, host: host) else { return nil }
        self.init(
            name: settings.names[0].value.description,
            position: table.position,
            source: .acme(settings),
            ocspFile: nil
        )
    }

    /// The name is a folder's, too.
    static func isFolderName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && !name.hasPrefix(".")
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == 0x2D || byte == 0x2E || byte == 0x5F
            }
    }
}
