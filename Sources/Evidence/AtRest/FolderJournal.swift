internal import FoundationEssentials
import Glibc
import Platform

/// How far the encryption of a folder has come, as it is stored beside the folder (journal.json).
///
/// Each phase is written and made to last before the first step that it allows, so that whatever ends the program, the next
/// one knows what may have been begun.
struct FolderJournal: Codable, Equatable {
    static let schema = "everyhop-docroot/1"

    enum Phase: String, Codable, CaseIterable {
        /// The folder is in plain; an encrypted copy is being made.
        case copying
        /// The copy was equal; the two are about to change places.
        case verified
        /// The folder is encrypted; what was in plain is still there, and may have changed late.
        case swapped
        /// What was in plain is being removed.
        case cleaning
        /// The folder is encrypted, and nothing of it is in plain.
        case done
    }

    let schema: String
    /// fscrypt or gocryptfs.
    let engine: String
    /// How far it has come.
    var phase: Phase
    /// The inode of the folder in plain: where that is tells which steps were done.
    let inode: UInt64
    /// The kernel's name of the key, in hexadecimal digits; none for gocryptfs.
    var key: String?
    /// Whether the recovery key was given to the user.
    var hasGivenRecovery: Bool
    /// From when on a change in plain is not in the copy, in nanoseconds.
    var scanned: Int64?
    /// From when on a change in the encrypted folder is not this program's, in nanoseconds.
    var replaced: Int64?
    /// What stays in plain because it changed in both.
    var conflicts: [String]

    init(engine: String, inode: UInt64) {
        schema = Self.schema
        self.engine = engine
        phase = .copying
        self.inode = inode
        hasGivenRecovery = false
        conflicts = []
    }

    /// For a folder that is encrypted, and whose own journal is lost.
    init(restored engine: String, key: String?) {
        self.init(engine: engine, inode: 0)
        phase = .done
        self.key = key
    }

    /// Reads what `json` wrote.
    init(json bytes: [UInt8]) throws(FolderFailure) {
        let journal: FolderJournal
        do { journal = try JSONDecoder().decode(FolderJournal.self, from: Data(bytes)) } catch {
            throw FolderFailure("it is no journal of a folder, or only a part of one")
        }
        guard journal.schema == Self.schema, FolderEncryption.Engine(rawValue: journal.engine) != nil else {
            throw FolderFailure("its form is \(journal.schema) for \(journal.engine), which this program does not know")
        }
        self = journal
    }

    /// As it is stored.
    func json() throws(FolderFailure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(self)) + [0x0A] } catch { throw FolderFailure("\(error)") }
    }
}
