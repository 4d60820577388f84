import Bytes

/// Something known of the request that a field's value may hold.
public enum FieldVariable: Sendable {
    /// The client's address.
    case clientAddress
    /// The host that the client asked for, without a port.
    case host
    /// The same with the port, as the Host field had it.
    case authority
    /// The port that the request came in on.
    case port
    /// `https`
    case scheme
    /// The method.
    case method
    /// The path without the query.
    case path
    /// Path and query.
    case target
    /// The name of the request in logs.
    case requestID
}

/// A field that a site writes itself.
public struct FieldTemplate: Sendable {
    /// A part of its value.
    public enum Piece: Sendable {
        /// These bytes; none of them ends a line.
        case text([UInt8])
        /// What the variable holds.
        case variable(FieldVariable)
    }

    let name: [UInt8]
    private let pieces: [Piece]

    /// Makes one from parts that are valid in fields.
    public init(name: [UInt8], pieces: [Piece]) {
        self.name = name
        self.pieces = pieces
    }

    /// Writes the line.
    func write(
        _ request: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        queue.append(name.span)
        queue.append(": ")
        for piece in pieces {
            switch piece {
            case .text(let bytes): queue.append(bytes.span)
            case .variable(let variable): Self.write(variable, request, context, into: &queue)
            }
        }
        queue.append("\r\n")
    }

    private static func write(
        _ variable: FieldVariable,
        _ request: borrowing RequestHead,
        _ context: ForwardingContext,
        into queue: inout ByteQueue
    ) {
        switch variable {
        case .clientAddress: queue.append(context.clientAddress.span)
        case .host: queue.append(request.hostName)
        case .authority: queue.append(request.authority)
        case .port: queue.append(decimal: UInt64(context.localPort))
        case .scheme: queue.append(context.scheme == .https ? "https" : "http")
        case .method: queue.append(request.methodBytes)
        case .path: queue.append(request.path)
        case .target: queue.append(request.target)
        case .requestID: context.requestID.write(into: &queue)
        }
    }
}

/// Fields that a site sets, adds and removes in one direction.
public struct FieldRules: Sendable {
    private let dropped: [[UInt8]]
    /// One bit for each length of a dropped name, so that most fields are passed after one look.
    private let lengths: UInt64
    private let written: [FieldTemplate]

    /// - Parameters:
    ///   - set: written in the place of those that bear the name.
    ///   - add: written besides those that bear the name.
    ///   - remove: names of which no line is passed on.
    public init(set: [FieldTemplate], add: [FieldTemplate], remove: [[UInt8]]) {
        dropped = remove + set.map(\.name)
        written = set + add
        lengths = dropped.reduce(0) { $0 | 1 << UInt64(min($1.count, 63)) }
    }

    /// Whether a field of this name is not passed on, in any case and with underscores for hyphens: servers of the CGI
    /// kind take both for the same.
    func drops(_ name: Span<UInt8>) -> Bool {
        guard lengths >> UInt64(min(name.count, 63)) & 1 == 1 else { return false }
        for other in dropped where Self.isSame(other.span, name) { return true }
        return false
    }

    /// The trailers that are passed on; nil when none is dropped.
    func kept(of trailers: borrowing HeaderBlock) -> HeaderBlock? {
        var isWhole = true
        for index in 0..<trailers.count where drops(trailers.name(index)) { isWhole = false }
        guard !isWhole else { return nil }
        var kept = HeaderBlock()
        for index in 0..<trailers.count where !drops(trailers.name(index)) {
            kept.append(name: trailers.name(index), value: trailers.value(index))
        }
        return kept
    }

    /// Writes the lines that are set and added.
    func write(_ request: borrowing RequestHead, _ context: ForwardingContext, into queue: inout ByteQueue) {
        for field in written { field.write(request, context, into: &queue) }
    }

    private static func isSame(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.indices where folded(left[index]) != folded(right[index]) { return false }
        return true
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte == 0x5F ? 0x2D : ASCII.lowercase(byte) }
}
