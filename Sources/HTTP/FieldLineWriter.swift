import Bytes

/// Field lines on their way into a message: those that lie one behind the other, as they are written, are copied at once.
struct FieldLineWriter {
    /// What of the arena is to be copied next.
    private var waiting: Range<Int>

    /// - Parameter first: of the arena, what is to be copied ahead of all lines.
    init(_ first: Range<Int> = 0..<0) { waiting = first }

    /// Writes the line at `index`, now or later.
    mutating func write(_ fields: borrowing HeaderBlock, _ index: Int, into queue: inout ByteQueue) {
        let field = fields[index]
        guard field.isWritten else {
            end(fields, into: &queue)
            Self.writeOne(fields, index, into: &queue)
            return
        }
        let line = field.line
        if waiting.upperBound == line.lowerBound {
            waiting = waiting.lowerBound..<line.upperBound
        } else {
            end(fields, into: &queue)
            waiting = line
        }
    }

    /// Writes what waits; whatever else is written next comes behind it.
    mutating func end(_ fields: borrowing HeaderBlock, into queue: inout ByteQueue) {
        if !waiting.isEmpty { queue.append(fields.arena.bytes.extracting(waiting)) }
        waiting = 0..<0
    }

    /// Writes one line.
    static func writeOne(_ fields: borrowing HeaderBlock, _ index: Int, into queue: inout ByteQueue) {
        queue.append(fields.name(index))
        queue.append(": ")
        queue.append(fields.value(index))
        queue.append("\r\n")
    }
}
