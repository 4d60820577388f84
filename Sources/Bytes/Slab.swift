/// Names one occupant of a `Slab`: a slot, and which of its occupants in turn; a stale token finds nothing.
public struct Token: Equatable, Sendable {
    /// Slot in the low half, generation in the high half; fits `epoll_event.data`.
    public let rawValue: UInt64

    /// Rebuilds a token from what the kernel handed back.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable
    init(slot: Int, generation: UInt32) {
        rawValue = UInt64(generation) << 32 | UInt64(UInt32(truncatingIfNeeded: slot))
    }

    @inlinable var slot: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
    @inlinable var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
}

/// A store of values that are found by token; a slot's generation changes before it is used again.
///
/// Inlinable, so that the program gets code for its own type: through generic code, a look-up cost a tenth of all the
/// time that a message spent in the program.
///
/// Whatever leaves the store is handed to the caller, who lets go of it: while the store is at work, no code runs that is
/// not its own, so that nothing can come in between.
public struct Slab<Element> {
    @usableFromInline
    struct Slot {
        @usableFromInline var generation: UInt32
        @usableFromInline var element: Element?

        @inlinable
        init(generation: UInt32, element: Element?) {
            self.generation = generation
            self.element = element
        }
    }

    @usableFromInline var slots: [Slot] = []
    @usableFromInline var free: [Int] = []

    @usableFromInline var stored = 0

    /// How many values are stored.
    @inlinable public var count: Int { stored }

    /// Makes an empty slab.
    @inlinable
    public init() {}

    /// Stores `element` and names it.
    @inlinable
    public mutating func insert(_ element: Element) -> Token {
        stored += 1
        if let slot = free.popLast() {
            slots[slot].element = element
            return Token(slot: slot, generation: slots[slot].generation)
        }
        slots.append(Slot(generation: 1, element: element))
        return Token(slot: slots.count - 1, generation: 1)
    }

    /// Names a slot before there is a value to put into it; `fill` or `remove` follows.
    @inlinable
    public mutating func reserve() -> Token {
        stored += 1
        if let slot = free.popLast() { return Token(slot: slot, generation: slots[slot].generation) }
        slots.append(Slot(generation: 1, element: nil))
        return Token(slot: slots.count - 1, generation: 1)
    }

    /// Puts a value into a slot that was reserved, or in another's place.
    ///
    /// - Returns: the value that was there.
    @discardableResult
    @inlinable
    public mutating func fill(_ token: Token, _ element: Element) -> Element? {
        guard token.slot < slots.count, slots[token.slot].generation == token.generation else { return nil }
        let other = slots[token.slot].element
        slots[token.slot].element = element
        return other
    }

    /// The value that `token` names, unless it is gone.
    @inlinable
    public subscript(_ token: Token) -> Element? {
        let slot = token.slot
        guard slot < slots.count, slots[slot].generation == token.generation else { return nil }
        return slots[slot].element
    }

    /// Takes the value out, unless it is gone already.
    @discardableResult
    @inlinable
    public mutating func remove(_ token: Token) -> Element? {
        guard token.slot < slots.count, slots[token.slot].generation == token.generation else { return nil }
        let element = slots[token.slot].element
        slots[token.slot].element = nil
        slots[token.slot].generation &+= 1
        free.append(token.slot)
        stored -= 1
        return element
    }

    /// Every stored value's token.
    @inlinable
    public var tokens: [Token] {
        slots.indices.compactMap { slots[$0].element == nil ? nil : Token(slot: $0, generation: slots[$0].generation) }
    }
}
