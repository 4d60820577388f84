import CTOML

extension TOMLDocument {
    /// Parses a file by toml++.
    ///
    /// The library may still fail in ways of its own, which is why a process that matters has this done by another.
    ///
    /// - Throws: where and why the file is not valid, or too large, too deep or with too long a key.
    public static func parse(_ text: [UInt8]) throws(TOMLSyntaxError) -> TOMLDocument {
        try TOMLBounds.check(text)
        let parsed = unsafe text.withUnsafeBufferPointer { buffer in
            unsafe buffer.withMemoryRebound(to: CChar.self) { unsafe everyhop_toml_parse($0.baseAddress, $0.count) }
        }
        guard let document = unsafe parsed else {
            throw TOMLSyntaxError(position: Position(line: 1, column: 1), message: "out of memory")
        }
        defer { unsafe everyhop_toml_free(document) }
        if let error = unsafe everyhop_toml_error(document) {
            let position = unsafe Position(
                line: Int(everyhop_toml_error_line(document)),
                column: Int(everyhop_toml_error_column(document))
            )
            throw TOMLSyntaxError(position: position, message: unsafe String(cString: error))
        }
        var index = 0
        let root = unsafe node(document, &index)
        return TOMLDocument(root: root)
    }

    /// Takes the node at `index` with all that is below it; the bounds above limit the recursion.
    private static func node(_ document: OpaquePointer, _ index: inout Int) -> TOMLNode {
        guard let raw = unsafe everyhop_toml_node_at(document, index)?.pointee else {
            return TOMLNode(position: Position(line: 1, column: 1), value: .table([]))
        }
        index += 1
        let value: TOMLNode.Value
        switch unsafe raw.kind {
        case CInt(EVERYHOP_TOML_TABLE.rawValue):
            var entries: [TOMLEntry] = []
            for _ in 0..<(unsafe raw.children) { entries.append(unsafe entry(document, &index)) }
            value = .table(entries)
        case CInt(EVERYHOP_TOML_ARRAY.rawValue):
            var elements: [TOMLNode] = []
            for _ in 0..<(unsafe raw.children) { elements.append(unsafe node(document, &index)) }
            value = .array(elements)
        case CInt(EVERYHOP_TOML_STRING.rawValue):
            value = .string(unsafe text(raw.text, raw.text_length))
        case CInt(EVERYHOP_TOML_INTEGER.rawValue): value = .integer(unsafe raw.integer)
        case CInt(EVERYHOP_TOML_BOOLEAN.rawValue): value = .boolean(unsafe raw.integer != 0)
        case CInt(EVERYHOP_TOML_FLOAT.rawValue): value = .float
        case CInt(EVERYHOP_TOML_DATE.rawValue):
            value = CalendarDay(packed: unsafe raw.integer).map { .date($0) } ?? .time
        default: value = .time
        }
        return TOMLNode(position: unsafe Position(line: Int(raw.line), column: Int(raw.column)), value: value)
    }

    private static func entry(_ document: OpaquePointer, _ index: inout Int) -> TOMLEntry {
        let raw = unsafe everyhop_toml_node_at(document, index)?.pointee ?? everyhop_toml_node()
        let key = unsafe text(raw.key, raw.key_length)
        let position = unsafe Position(line: Int(raw.key_line), column: Int(raw.key_column))
        return TOMLEntry(key: key, keyPosition: position, node: unsafe node(document, &index))
    }

    private static func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
        let raw = unsafe UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)
        return unsafe String(decoding: raw, as: UTF8.self)
    }
}
