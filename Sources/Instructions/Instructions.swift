import Bytes
import Glibc

/// `Instructions NAME COUNT` does a part so many times, for callgrind to count.
///
/// Without arguments it prints the names. `Scripts/bench/instructions.py` runs it and compares.
@main
struct Instructions {
    static func main() {
        let parts: [Part] = [
            RequestReading(), RequestWriting(rewrites: false), RequestWriting(rewrites: true), ResponseReading(),
            ResponseWriting(rewrites: false), ResponseWriting(rewrites: true), ChunkReading(), PathReading(),
            ProxyHeaderReading(), HTTP2Exchange(), LogWriting(), .postgres, .tds, .mysql,
        ]
        guard CommandLine.arguments.count == 3 else { return parts.forEach { print($0.name) } }
        let digits = Array(CommandLine.arguments[2].utf8)
        guard let part = parts.first(where: { $0.name == CommandLine.arguments[1] }),
            let count = ASCII.decimal(digits.span)
        else { stop("no such part") }
        // What is allocated or computed once is no part of it.
        for _ in 0..<5 { part.once() }
        measured(Unmanaged.passUnretained(part).toOpaque(), count)
    }
}

/// Something that is done for a request or a session, without I/O.
class Part {
    let name: String

    init(_ name: String) { self.name = name }

    func once() { stop("\(name) has nothing to do") }
}

/// What callgrind counts, by its name.
@inline(never)
func measured(_ part: UnsafeRawPointer, _ count: UInt64) {
    Unmanaged<Part>.fromOpaque(part)._withUnsafeGuaranteedRef { part in
        for _ in 0..<count { part.once() }
    }
}

/// What is counted has to be what it is called.
func require(_ holds: Bool, _ part: StaticString) {
    if !holds { stop("\(part) went wrong") }
}

func stop(_ reason: String) -> Never {
    print(reason)
    exit(1)
}
