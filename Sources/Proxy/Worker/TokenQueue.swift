import Bytes

/// Tokens in the order they came.
struct TokenQueue {
    private var tokens: [Token] = []
    private var head = 0

    var isEmpty: Bool { head == tokens.count }

    /// The one that has waited longest; it stays.
    var first: Token? { head < tokens.count ? tokens[head] : nil }

    mutating func append(_ token: Token) { tokens.append(token) }

    /// Takes one out that waits no more; most often it is among those that have waited longest.
    mutating func remove(_ token: Token) {
        guard let place = tokens[head...].firstIndex(of: token) else { return }
        if place == head {
            _ = next()
        } else {
            tokens.remove(at: place)
        }
    }

    /// Takes the one that has waited longest.
    mutating func next() -> Token? {
        guard head < tokens.count else { return nil }
        defer {
            head += 1
            if head == tokens.count {
                tokens.removeAll(keepingCapacity: true)
                head = 0
            } else if head == 1024 {
                tokens.removeFirst(head)
                head = 0
            }
        }
        return tokens[head]
    }
}
