internal import ArgumentParser

@main
struct Everyhop: ParsableCommand {
    @Option var config: String = "x"
    mutating func run() throws { print(config) }
}
