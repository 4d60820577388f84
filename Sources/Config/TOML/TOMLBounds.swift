/// Looks a file over before toml++ does: its recursion has no bound of its own.
enum TOMLBounds {
    static let size = 1 << 20
    static let depth = 32
    static let keyParts = 16

    static func check(_ text: [UInt8]) throws(TOMLSyntaxError) {
        guard text.count <= size else {
            throw TOMLSyntaxError(position: Position(line: 1, column: 1), message: "the file is larger than 1 MiB")
        }
        var scan = Scan(text: text)
        try scan.run()
    }

    /// Knows strings and comments, so that brackets and dots inside them do not count.
    private struct Scan {
        let text: [UInt8]
        var index = 0
        var line = 1
        var lineStart = 0
        var depth = 0
        var dots = 0

        mutating func run() throws(TOMLSyntaxError) {
            while index < text.count {
                let byte = text[index]
                switch byte {
                case 0x23: skipComment()
                case 0x22, 0x27: skipString(byte)
                case 0x0A:
                    index += 1
                    line += 1
                    lineStart = index
                    dots = 0
                default:
                    try count(byte)
                    index += 1
                }
            }
        }

        private mutating func count(_ byte: UInt8) throws(TOMLSyntaxError) {
            switch byte {
            case 0x5B, 0x7B:
                depth += 1
                dots = 0
                if depth > TOMLBounds.depth { throw failure("nested deeper than \(TOMLBounds.depth) levels") }
            case 0x5D, 0x7D:
                depth = max(0, depth - 1)
                dots = 0
            case 0x2C, 0x3D: dots = 0
            case 0x2E:
                dots += 1
                if dots >= TOMLBounds.keyParts { throw failure("a key of more than \(TOMLBounds.keyParts) parts") }
            default: break
            }
        }

        private func failure(_ message: String) -> TOMLSyntaxError {
            TOMLSyntaxError(position: Position(line: line, column: index - lineStart + 1), message: message)
        }

        private mutating func skipComment() {
            while index < text.count, text[index] != 0x0A { index += 1 }
        }

        private mutating func skipString(_ quote: UInt8) {
            let isLong = index + 2 < text.count && text[index + 1] == quote && text[index + 2] == quote
            index += isLong ? 3 : 1
            while index < text.count {
                let byte = text[index]
                if byte == 0x5C, quote == 0x22 {
                    // An escaped line end still ends a line.
                    if index + 1 < text.count, text[index + 1] == 0x0A { newLine(at: index + 1) }
                    index += 2
                } else if byte == 0x0A {
                    // A short string that runs over its line is the parser's to refuse.
                    if !isLong { return }
                    newLine(at: index)
                    index += 1
                } else if byte == quote {
                    if !isLong {
                        index += 1
                        return
                    }
                    if index + 2 < text.count, text[index + 1] == quote, text[index + 2] == quote {
                        index += 3
                        return
                    }
                    index += 1
                } else {
                    index += 1
                }
            }
        }

        private mutating func newLine(at position: Int) {
            line += 1
            lineStart = position + 1
        }
    }
}
