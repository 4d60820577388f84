/// Names one occupant of a `Slab`: a slot, and which of its occupants in turn; a stale token finds nothing.
public struct Token: Equatable, Sendable {
    /// Slot in the low half, generation in the high half; fits `epoll_event.data`.
    public let rawValue: UInt64

    /// Rebuilds a token from what the kernel handed back.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    init(slot: Int, generation: UInt32) {
        rawValue = UInt64(generation) << 32 | UInt64(UInt32(truncatingIfNeeded: slot))
    }

    var slot: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
}

/// A store of values that are found by token; a slot's generation changes before it is used again.
public struct Slab<Element> {
    private struct Slot {
        var generation: UInt32
        var element: Element?
    }

    private var slots: [Slot] = []
    private var free: [Int] = []

    /// How many values are stored.
    public private(set) var count = 0

    /// Makes an empty slab.
    public init() {}

    /// Stores `element` and names it.
    public mutating func insert(_ element: Element) -> Token {
        count += 1
        if let slot = free.popLast() {
            slots[slot].element = element
            return Token(slot: slot, generation: slots[slot].generation)
        }
        slots.append(Slot(generation: 1, element: element))
        return Token(slot: slots.count - 1, generation: 1)
    }

    /// Names a slot before there is a value to put into it; `fill` or `remove` follows.
    public mutating func reserve() -> Token {
        count += 1
        if let slot = free.popLast() { return Token(slot: slot, generation: slots[slot].generation) }
        slots.append(Slot(generation: 1, element: nil))
        return Token(slot: slots.count - 1, generation: 1)
    }

    /// Puts a value into a slot that was reserved.
    public mutating func fill(_ token: Token, _ element: Element) {
        guard token.slot < slots.count, slots[token.slot].generation == token.generation else { return }
        slots[token.slot].element = element
    }

    /// The value that `token` names, unless it is gone.
    public subscript(_ token: Token) -> Element? {
        let slot = token.slot
        guard slot < slots.count, slots[slot].generation == token.generation else { return nil }
        return slots[slot].element
    }

    /// Takes the value out, unless it is gone already.
    @discardableResult
    public mutating func remove(_ token: Token) -> Element? {
        guard token.slot < slots.count, slots[token.slot].generation == token.generation else { return nil }
        let element = slots[token.slot].element
        slots[token.slot].element = nil
        slots[token.slot].generation &+= 1
        free.append(token.slot)
        count -= 1
        return element
    }

    /// Every stored value's token.
    public var tokens: [Token] {
        slots.indices.compactMap { slots[$0].element == nil ? nil : Token(slot: $0, generation: slots[$0].generation) }
    }
}
