import ArgumentParser
import Bytes

/// `fuzz`: throws mutated bytes at every parser that reads what others send.
@main
struct Fuzz: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Feed the parsers with mutated input until something breaks.",
        discussion: "A failure prints the seed and the input, and ends with a trap or exit code 1."
    )

    @Option(help: "How many inputs.") var count = 10_000_000
    @Option(help: "Where the sequence begins.") var seed: UInt64 = 1

    func run() throws {
        var random = Random(state: seed == 0 ? 1 : seed)
        var mutator = Mutator()
        var target = Target()
        for index in 0..<count {
            let input = mutator.next(&random)
            // A trap ends the process: the seed and the number of the last report lead back to the input.
            if let failure = target.check(input, &random) {
                print("failure after \(index) inputs of seed \(seed): \(failure)")
                print(input.map { String($0, radix: 16) }.joined(separator: " "))
                throw ExitCode(1)
            }
            if index % 1_000_000 == 999_999 {
                print(
                    "\(index + 1) inputs, \(target.accepted) requests accepted, \(target.http2.accepted) in HTTP/2, \(target.relayed) logins carried, \(target.asked) answers read, \(target.greeted) hellos plain"
                )
            }
        }
        print(
            "\(count) inputs from seed \(seed): no failure, \(target.accepted) requests accepted, \(target.http2.accepted) in HTTP/2, \(target.relayed) logins carried, \(target.asked) answers read, \(target.greeted) hellos plain"
        )
    }
}

/// xorshift64*: the same sequence from the same seed everywhere.
struct Random {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }

    mutating func below(_ bound: Int) -> Int { bound <= 0 ? 0 : Int(truncatingIfNeeded: next() >> 33) % bound }
}
