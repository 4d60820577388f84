/// How `everyhop run` was called: what a new program is called with as well.
struct RunOptions {
    /// The configuration's path.
    var file: String
    /// Where the master's process id is written.
    var pidFile: String?
    /// The program's file, by path: it may be another program by now.
    var program = "/proc/self/exe"

    /// The arguments of a program that takes over.
    var successorArguments: [String] {
        [program, "run", "--config", file] + (pidFile.map { ["--pid-file", $0] } ?? []) + ["--take-over"]
    }
}
