extension FileRoot {
    /// Reads `root`, `index`, `plaintext_root` and `symlinks`; nil without a root.
    init?(_ table: TableReader) {
        let root = table.path("root")
        let names = table.strings("index")
        let allowsPlaintext = table.boolean("plaintext_root")
        let followsLinks = table.boolean("symlinks")
        for name in names ?? [] where !Self.isName(name.value) {
            table.complain(
                at: name.position,
                "index \"\(name.value)\" is not the name of a file in every folder",
                fix: "write it like \"index.html\": no slash, and no dot at its start"
            )
        }
        guard let root else {
            for key in ["index", "plaintext_root", "symlinks"] {
                guard let node = table.node(key), table.node("root") == nil else { continue }
                table.complain(at: node.position, "\(key) has no meaning without a root", fix: "drop it, or add a root")
            }
            return nil
        }
        path = root
        index = names?.map(\.value) ?? ["index.html"]
        self.allowsPlaintext = allowsPlaintext ?? false
        self.followsLinks = followsLinks ?? false
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && !text.hasPrefix(".") && text.utf8.count <= 255
            && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != 0x2F && $0 != 0x5C }
    }
}
