/// What may be replaced while connections live on.
extension TOMLDocument {
    /// A place in the tree: names of tables; arrays between them are passed through.
    private typealias Place = [String]

    /// Certificates, what peers are verified by, and ticket keys.
    private static let replaceable: Set<Place> = [
        ["certificate"], ["tls", "tickets", "keys"], ["upstream", "trust"], ["database", "trust"],
        ["site", "binding", "client_ca"], ["site", "binding", "client_pins"],
    ]

    /// Whether two files say the same but for what may be replaced; where things stand, and in which order the keys of a
    /// table, does not matter.
    public func isLike(_ other: TOMLDocument) -> Bool { Self.isLike(root, other.root, []) }

    private static func isLike(_ one: TOMLNode, _ other: TOMLNode, _ place: Place) -> Bool {
        switch (one.value, other.value) {
        case (.table(let left), .table(let right)): return isLike(entries(left, place), entries(right, place), place)
        case (.array(let left), .array(let right)):
            return left.count == right.count && zip(left, right).allSatisfy { isLike($0, $1, place) }
        // Of numbers with fractions and times, which no key takes, the value is not known.
        case (.float, .float), (.time, .time): return false
        default: return one.value == other.value
        }
    }

    private static func isLike(_ one: [String: TOMLNode], _ other: [String: TOMLNode], _ place: Place) -> Bool {
        guard one.count == other.count else { return false }
        return one.allSatisfy { key, node in
            guard let counterpart = other[key] else { return false }
            return isLike(node, counterpart, place + [key])
        }
    }

    private static func entries(_ list: [TOMLEntry], _ place: Place) -> [String: TOMLNode] {
        var found: [String: TOMLNode] = [:]
        for entry in list where !replaceable.contains(place + [entry.key]) { found[entry.key] = entry.node }
        // A table in which nothing is left is as good as none.
        return found.filter { key, node in
            guard case .table(let inner) = node.value, !inner.isEmpty else { return true }
            return !entries(inner, place + [key]).isEmpty
        }
    }
}
