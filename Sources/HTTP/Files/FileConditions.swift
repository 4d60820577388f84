import Bytes

/// What a file is known by from one request to the next.
public struct FileVersion: Equatable, Sendable {
    /// In bytes.
    public let size: UInt64
    /// Which file of its file system.
    public let inode: UInt64
    /// Seconds since 1970 of its last change, as programs leave or set it.
    public let modified: Int64
    /// Nanoseconds since 1970 of the last change of anything about it, which no program sets.
    public let changed: Int64

    /// Takes what the file system says.
    public init(size: UInt64, inode: UInt64, modified: Int64, changed: Int64) {
        self.size = size
        self.inode = inode
        self.modified = modified
        self.changed = changed
    }

    /// The entity tag, with its quotes (RFC 9110 §8.8.3): strong, since any change makes another.
    ///
    /// Programs that copy files set `modified` back to what it was; a tag of that would stay the same.
    public var tag: [UInt8] {
        let numbers = [inode, size, UInt64(bitPattern: changed)].map { String($0, radix: 16) }
        return Array("\"\(numbers.joined(separator: "-"))\"".utf8)
    }
}

/// The conditions of a request (RFC 9110 §13), and the Range that they may rule out.
///
/// A field that must not be repeated and is counts as absent.
struct FileConditions {
    enum Verdict: Equatable {
        case proceed
        case notModified
        case failed
    }

    private enum Field: CaseIterable {
        case ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince, ifRange, range

        init?(_ name: Span<UInt8>) {
            switch name.count {
            case 5 where ASCII.equalIgnoringCase(name, "range"): self = .range
            case 8 where ASCII.equalIgnoringCase(name, "if-match"): self = .ifMatch
            case 8 where ASCII.equalIgnoringCase(name, "if-range"): self = .ifRange
            case 13 where ASCII.equalIgnoringCase(name, "if-none-match"): self = .ifNoneMatch
            case 17 where ASCII.equalIgnoringCase(name, "if-modified-since"): self = .ifModifiedSince
            case 19 where ASCII.equalIgnoringCase(name, "if-unmodified-since"): self = .ifUnmodifiedSince
            default: return nil
            }
        }
    }

    private var lines: [(field: Field, index: Int)] = []
    private let tag: [UInt8]
    /// What Last-Modified says.
    private let modified: Int64
    private let now: Int64

    /// - Parameters:
    ///   - modified: what Last-Modified says.
    ///   - now: the time that the answer is made.
    init(_ fields: borrowing HeaderBlock, tag: [UInt8], modified: Int64, now: Int64) {
        self.tag = tag
        self.modified = modified
        self.now = now
        for index in 0..<fields.count where fields[index].id == .other {
            if let field = Field(fields.name(index)) { lines.append((field, index)) }
        }
    }

    /// RFC 9110 §13.2.2, for GET and HEAD: in this order.
    func verdict(_ fields: borrowing HeaderBlock) -> Verdict {
        guard !lines.isEmpty else { return .proceed }
        if has(.ifMatch) {
            if !matches(.ifMatch, fields, isWeak: false) { return .failed }
        } else if let date = date(.ifUnmodifiedSince, fields), modified > date {
            return .failed
        }
        if has(.ifNoneMatch) {
            return matches(.ifNoneMatch, fields, isWeak: true) ? .notModified : .proceed
        }
        if let date = date(.ifModifiedSince, fields), modified <= date { return .notModified }
        return .proceed
    }

    /// What is asked for of a file of this size.
    func range(_ fields: borrowing HeaderBlock, size: UInt64) -> RangeRequest {
        guard let index = only(.range), holdsForRange(fields) else { return .whole }
        return RangeRequest(fields.value(index), size: size)
    }

    /// RFC 9110 §13.1.5: a tag, or a date that is exactly the one of the file, and old enough to tell changes apart.
    private func holdsForRange(_ fields: borrowing HeaderBlock) -> Bool {
        guard has(.ifRange) else { return true }
        guard let index = only(.ifRange) else { return false }
        let value = fields.value(index)
        // A weak tag is no date, and never equal.
        if value.count > 0, value[0] == 0x22 { return ASCII.equal(value, tag.span) }
        return HTTPDate.read(value, now: now) == modified && modified < now
    }

    private func has(_ field: Field) -> Bool { lines.contains { $0.field == field } }

    private func only(_ field: Field) -> Int? {
        let found = lines.filter { $0.field == field }
        return found.count == 1 ? found[0].index : nil
    }

    private func date(_ field: Field, _ fields: borrowing HeaderBlock) -> Int64? {
        only(field).flatMap { HTTPDate.read(fields.value($0), now: now) }
    }

    private func matches(_ field: Field, _ fields: borrowing HeaderBlock, isWeak: Bool) -> Bool {
        for line in lines where line.field == field {
            if Self.lists(tag, in: fields.value(line.index), isWeak: isWeak) { return true }
        }
        return false
    }

    /// Whether a list of tags, or `*`, names one; from a malformed element on nothing is read.
    private static func lists(_ tag: [UInt8], in value: Span<UInt8>, isWeak: Bool) -> Bool {
        if value.count == 1, value[0] == 0x2A { return true }
        var index = 0
        while index < value.count {
            if value[index] == 0x20 || value[index] == 0x09 || value[index] == 0x2C {
                index += 1
                continue
            }
            var isStrong = true
            if value[index] == 0x57, index + 1 < value.count, value[index + 1] == 0x2F {
                isStrong = false
                index += 2
            }
            guard index < value.count, value[index] == 0x22 else { return false }
            let start = index
            index += 1
            while index < value.count, value[index] != 0x22 { index += 1 }
            guard index < value.count else { return false }
            index += 1
            if isWeak || isStrong, ASCII.equal(value.extracting(start..<index), tag.span) { return true }
        }
        return false
    }
}
