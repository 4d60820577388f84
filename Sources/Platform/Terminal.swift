import Glibc

/// The terminal that a person sits at.
public enum Terminal {
    /// Asks for a line that is not shown while it is typed.
    ///
    /// - Returns: the line without its line feed; nil when there is no terminal.
    /// - Throws: `EINTR` when it was given up with Control-C.
    public static func askSecretly(_ question: String) throws(Errno) -> [UInt8]? {
        let raw = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let terminal = FileDescriptor(owning: raw)
        var before = termios()
        guard tcgetattr(terminal.raw, &before) == 0 else { return nil }
        var silent = before
        // Control-C would end the program before the terminal shows again what is typed.
        silent.c_lflag &= ~tcflag_t(ECHO | ISIG)
        tcsetattr(terminal.raw, TCSAFLUSH, &silent)
        defer { tcsetattr(terminal.raw, TCSAFLUSH, &before) }
        try File.writeAll(Array(question.utf8), to: terminal.raw)
        var line = try readLine(terminal)
        try File.writeAll([0x0A], to: terminal.raw)
        guard !line.contains(0x03) else {
            for index in line.indices { line[index] = 0 }
            throw Errno(EINTR, in: "read")
        }
        return line
    }

    /// Whether a descriptor is one.
    public static func isTerminal(_ raw: CInt) -> Bool { isatty(raw) == 1 }

    /// Reads to the next line feed, or to the end.
    public static func readLine(_ descriptor: borrowing FileDescriptor, limit: Int = 4096) throws(Errno) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(limit)
        var byte: UInt8 = 0
        while line.count < limit {
            let count = read(descriptor.raw, &byte, 1)
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno(in: "read")
            }
            if count == 0 || byte == 0x0A { break }
            line.append(byte)
        }
        return line
    }
}
