import Bytes

/// Tokens in the order they came.
struct TokenQueue {
    private var tokens: [Token] = []
    private var first = 0

    var isEmpty: Bool { first == tokens.count }

    mutating func append(_ token: Token) { tokens.append(token) }

    /// Takes the one that has waited longest.
    mutating func next() -> Token? {
        guard first < tokens.count else { return nil }
        defer {
            first += 1
            if first == tokens.count {
                tokens.removeAll(keepingCapacity: true)
                first = 0
            } else if first == 1024 {
                tokens.removeFirst(first)
                first = 0
            }
        }
        return tokens[first]
    }
}
