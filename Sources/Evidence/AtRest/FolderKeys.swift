internal import FoundationEssentials
import Platform
public import TLS

/// What opens an encrypted folder.
public struct FolderSecret: ~Copyable {
    /// What it is.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// Words that a person knows.
        case passphrase
        /// A file of random bytes.
        case keyFile = "key-file"
        /// What is kept on paper for the day when all else is lost.
        case recovery

        /// For messages.
        public var words: String {
            switch self {
            case .passphrase: "a passphrase"
            case .keyFile: "a key file"
            case .recovery: "a recovery key"
            }
        }
    }

    /// What it is.
    public let kind: Kind
    let bytes: SecretBytes

    /// The least that a passphrase has, in bytes.
    public static let leastPassphrase = 12
    /// The least that a key file has, in bytes.
    public static let leastKeyFile = 32

    /// A secret of a kind; nil when it is too short to be one.
    public init?(_ kind: Kind, _ bytes: consuming SecretBytes) {
        switch kind {
        case .passphrase: guard bytes.count >= Self.leastPassphrase else { return nil }
        case .keyFile, .recovery: guard bytes.count >= Self.leastKeyFile else { return nil }
        }
        self.kind = kind
        self.bytes = bytes
    }
}

/// The key of a folder under every secret that opens it, as it is stored beside the folder (keys.json).
struct FolderKeys: Codable, Equatable {
    static let schema = "everyhop-docroot-keys/1"
    /// Bytes of the key itself.
    static let keyCount = 64

    /// The key under one secret.
    struct Slot: Codable, Equatable {
        let kind: FolderSecret.Kind
        let salt: Data
        /// What guessing costs; a passphrase has it, random bytes need none.
        let scrypt: [Int]?
        let sealed: Data
    }

    /// Why a file holds no keys.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    let schema: String
    private(set) var slots: [Slot]

    init() {
        schema = Self.schema
        slots = []
    }

    /// Reads what `json` wrote.
    init(json bytes: [UInt8]) throws(Unreadable) {
        let keys: FolderKeys
        do { keys = try JSONDecoder().decode(FolderKeys.self, from: Data(bytes)) } catch {
            throw Unreadable(description: "it is no file of keys, or only a part of one")
        }
        guard keys.schema == Self.schema else {
            throw Unreadable(description: "its form is \(keys.schema), this program reads \(Self.schema)")
        }
        self = keys
    }

    /// As it is stored.
    func json() throws(Unreadable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(self)) + [0x0A] } catch { throw Unreadable(description: "\(error)") }
    }

    /// Whether there is a slot of a kind.
    func has(_ kind: FolderSecret.Kind) -> Bool { slots.contains { $0.kind == kind } }

    /// Puts the key under a secret.
    ///
    /// - Parameter beside: whether others of its kind go on to open it; otherwise it takes their place.
    mutating func set(
        _ secret: borrowing FolderSecret,
        key: borrowing SecretBytes,
        cost: KeyWrap.Cost = .standard,
        beside: Bool = false
    ) throws(TLSError) {
        let salt = try KeyWrap.salt()
        let scrypt = secret.kind == .passphrase ? [cost.logN, cost.blockSize, cost.parallelism] : nil
        let wrapping = try Self.wrapping(secret, salt, cost)
        let sealed = try KeyWrap.seal(key, under: wrapping, context: Self.context(secret.kind, salt, scrypt))
        let slot = Slot(kind: secret.kind, salt: Data(salt), scrypt: scrypt, sealed: Data(sealed))
        if !beside { slots.removeAll { $0.kind == slot.kind } }
        slots.append(slot)
    }

    /// Takes every slot of a kind away but the one that was put there last.
    mutating func keepLast(_ kind: FolderSecret.Kind) {
        guard let last = slots.last(where: { $0.kind == kind }) else { return }
        slots.removeAll { $0.kind == kind && $0 != last }
    }

    /// Opens the key with a secret.
    func open(_ secret: borrowing FolderSecret) throws(FolderFailure) -> SecretBytes {
        var last = FolderFailure("no slot is opened by \(secret.kind.words)")
        for slot in slots where slot.kind == secret.kind {
            do {
                let cost = try Self.cost(slot)
                let salt = Array(slot.salt)
                let wrapping = try Self.wrapping(secret, salt, cost)
                let context = Self.context(slot.kind, salt, slot.scrypt)
                let key = try KeyWrap.open(Array(slot.sealed), under: wrapping, context: context)
                guard key.count == Self.keyCount else { throw KeyWrap.NotOpened() }
                return key
            } catch { last = FolderFailure("\(error)") }
        }
        throw last
    }

    private static func cost(_ slot: Slot) throws -> KeyWrap.Cost {
        guard slot.kind == .passphrase else { return .standard }
        guard let numbers = slot.scrypt, numbers.count == 3,
            let cost = KeyWrap.Cost(logN: numbers[0], blockSize: numbers[1], parallelism: numbers[2])
        else { throw Unreadable(description: "a slot asks for a cost that no slot has") }
        return cost
    }

    private static func wrapping(
        _ secret: borrowing FolderSecret,
        _ salt: [UInt8],
        _ cost: KeyWrap.Cost
    ) throws(TLSError) -> SecretBytes {
        switch secret.kind {
        case .passphrase: try KeyWrap.key(passphrase: secret.bytes, salt: salt, cost: cost)
        case .keyFile, .recovery:
            try KeyWrap.key(random: secret.bytes, salt: salt, purpose: "everyhop docroot \(secret.kind.rawValue)")
        }
    }

    /// What a slot says about itself cannot be changed without the key.
    private static func context(_ kind: FolderSecret.Kind, _ salt: [UInt8], _ scrypt: [Int]?) -> [UInt8] {
        let cost = (scrypt ?? []).map { "\($0)" }.joined(separator: ",")
        return Array("\(schema)|\(kind.rawValue)|\(cost)|".utf8) + salt
    }
}

/// Why something was not done to a folder, for people.
public struct FolderFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was wrong, and what to do about it.
    public let description: String

    /// Says it.
    public init(_ description: String) { self.description = description }
}
