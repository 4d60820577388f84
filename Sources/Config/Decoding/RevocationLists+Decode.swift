extension RevocationLists {
    /// Reads a file or several under `key`, and which certificates are looked up; nil without any.
    ///
    /// - Parameter authorities: the key of the authorities, without whom there is nothing to look up.
    init?(_ table: TableReader, _ key: String, check checkKey: String, authorities: String) {
        var files: [Located<String>] = []
        if case .array = table.node(key)?.value {
            files = table.strings(key) ?? []
            for file in files where file.value.isEmpty || file.value.utf8.contains(0) {
                table.complain(at: file.position, "\(key) has to hold paths of files")
            }
        } else if let file = table.path(key) {
            files = [file]
        }
        let check = table.word(checkKey, Check.self)
        let isKnown = table.node(key) != nil
        if let node = table.node(checkKey), !isKnown {
            table.complain(at: node.position, "\(checkKey) has no meaning without \(key)", fix: "add \(key) = \"FILE\"")
        }
        if let node = table.node(key), case .array(let list) = node.value, list.isEmpty {
            table.complain(at: node.position, "\(key) names no file", fix: "name one, or drop it")
        }
        if let node = table.node(key), table.node(authorities) == nil {
            table.complain(
                at: node.position,
                "\(key) has no meaning without \(authorities): authorities revoke their own certificates",
                fix: "add \(authorities) = \"FILE\", or drop the pin of a key that is not trusted any more"
            )
        }
        guard !files.isEmpty else { return nil }
        self.files = files
        self.check = check ?? .chain
    }
}
