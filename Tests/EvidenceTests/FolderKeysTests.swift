import Platform
import Support
import TLS
import Testing

@testable import Evidence

@Suite struct FolderKeysTests {
    private func secret(_ kind: FolderSecret.Kind, _ text: String) throws -> FolderSecret {
        var bytes = Array(text.utf8)
        guard let secret = FolderSecret(kind, SecretBytes(taking: &bytes)) else { throw FolderFailure("too short") }
        return secret
    }

    private let words = "correct horse battery"
    private let random = "0123456789abcdef0123456789abcdef"

    private func keys() throws -> FolderKeys {
        var keys = FolderKeys()
        let key = try SecretBytes(random: FolderKeys.keyCount)
        let cost = try #require(KeyWrap.Cost(logN: 14, blockSize: 8, parallelism: 1))
        try keys.set(secret(.passphrase, words), key: key, cost: cost)
        try keys.set(secret(.recovery, random), key: key)
        return keys
    }

    @Test func everySlotOpensTheSameKey() throws {
        let keys = try keys()
        let read = try FolderKeys(json: keys.json())
        #expect(read == keys && read.has(.recovery) && !read.has(.keyFile))
        let one = try read.open(secret(.passphrase, words))
        let other = try read.open(secret(.recovery, random))
        #expect(one.withBytes { Array($0) } == other.withBytes { Array($0) })
        #expect(throws: FolderFailure.self) { _ = try read.open(secret(.passphrase, words + "!")) }
        #expect(throws: FolderFailure.self) { _ = try read.open(secret(.recovery, "1" + random)) }
        #expect(throws: FolderFailure.self) { _ = try read.open(secret(.keyFile, random)) }
    }

    @Test func aSlotOfOneKindIsNoSlotOfAnother() throws {
        let text = String(decoding: try keys().json(), as: UTF8.self).replacing("\"recovery\"", with: "\"key-file\"")
        let read = try FolderKeys(json: Array(text.utf8))
        #expect(throws: FolderFailure.self) { _ = try read.open(secret(.keyFile, random)) }
    }

    @Test func shortSecretsAreNone() {
        #expect(throws: FolderFailure.self) { _ = try secret(.passphrase, "correct") }
        #expect(throws: FolderFailure.self) { _ = try secret(.passphrase, "") }
        #expect(throws: FolderFailure.self) { _ = try secret(.keyFile, "0123456789abcdef") }
    }

    @Test func aFileThatWasCutOffIsRefused() throws {
        let whole = try keys().json()
        // The last two bytes are the closing brace and a line feed.
        for count in 0..<(whole.count - 2) {
            #expect(throws: FolderKeys.Unreadable.self) { try FolderKeys(json: Array(whole.prefix(count))) }
        }
    }

    @Test func aFileThatWasChangedOpensNothingElse() throws {
        let keys = try keys()
        let key = try keys.open(secret(.recovery, random)).withBytes { Array($0) }
        let whole = try keys.json()
        for index in whole.indices {
            for byte in [whole[index] ^ 1, 0x39, 0] {
                var changed = whole
                changed[index] = byte
                guard let read = try? FolderKeys(json: changed) else { continue }
                // Never another key: the same, or none.
                guard let opened = try? read.open(secret(.recovery, random)) else { continue }
                #expect(opened.withBytes { Array($0) } == key)
            }
        }
    }

    @Test func aCostThatWouldTakeAllMemoryIsRefused() throws {
        let text = String(decoding: try keys().json(), as: UTF8.self)
        for number in ["63", "-1", "9223372036854775807", "30"] {
            let changed = text.replacing("14,", with: "\(number),")
            #expect(changed != text)
            let read = try FolderKeys(json: Array(changed.utf8))
            #expect(throws: FolderFailure.self) { _ = try read.open(secret(.passphrase, words)) }
        }
    }
}

@Suite struct FolderJournalTests {
    @Test(arguments: FolderJournal.Phase.allCases) func itIsReadAsItWasWritten(_ phase: FolderJournal.Phase) throws {
        var journal = FolderJournal(engine: "fscrypt", inode: 42)
        journal.phase = phase
        journal.key = "00ff"
        journal.scanned = 1_795_633_917_614_790_514
        journal.replaced = .max
        journal.conflicts = ["a/b", "c \n d"]
        let bytes = try journal.json()
        #expect(try FolderJournal(json: bytes) == journal)
        for count in 0..<(bytes.count - 2) {
            #expect(throws: FolderFailure.self) { try FolderJournal(json: Array(bytes.prefix(count))) }
        }
    }

    @Test func aJournalOfAnotherProgramIsRefused() throws {
        let text = String(decoding: try FolderJournal(engine: "fscrypt", inode: 1).json(), as: UTF8.self)
        for (old, new) in [("docroot/1", "docroot/2"), ("fscrypt", "rot13"), ("copying", "guessing")] {
            #expect(throws: FolderFailure.self) { try FolderJournal(json: Array(text.replacing(old, with: new).utf8)) }
        }
    }

    @Test func whatIsBesideAFolderIsItsOwn() throws {
        let place = try TemporaryFolder()
        try File.makeFolder("\(place.path)/portal")
        let state = try FolderState("\(place.path)/portal")
        #expect(state.place == "\(place.path)/.portal.everyhop")
        #expect(try state.journal() == nil)
        try state.make()
        try File.setMode(0o750, of: state.place)
        #expect(throws: FolderFailure.self) { try state.verify() }
        try File.setMode(0o700, of: state.place)
        try state.verify()
        let held = try state.lock()
        #expect(throws: FolderFailure.self) { _ = try state.lock() }
        _ = consume held
        #expect(throws: FolderFailure.self) { try FolderState("/") }
        #expect(throws: FolderFailure.self) { try FolderState("\(place.path)/nothing") }
    }
}

@Suite struct FolderAuditTests {
    @Test func aFolderInPlainFallsShort() throws {
        let place = try TemporaryFolder()
        let report = FolderAudit.report(site: "portal", path: place.path)
        #expect(report.kind == .documentRoot && report.name == "portal" && report.verdict == .fallsShort)
        #expect(report.findings.map(\.check) == [.documentRootEncrypted, .documentRootRecovery])
        #expect(report.findings[0].remedy?.contains("docroot encrypt") == true)
        let allowed = FolderAudit.report(site: "portal", path: place.path, allowsPlaintext: true)
        #expect(allowed.verdict == .fallsShort && allowed.findings[0].statement.contains("plaintext_root"))
        #expect(FolderAudit.report(site: "portal", path: "/nowhere/at/all").verdict == .notChecked)
    }

    @Test func aFolderThatEveryhopEncryptedHoldsWithWhatIsInIt() throws {
        let volume = try LoopVolume(megabytes: 48)
        let path = "\(volume.path)/portal"
        for folder in [path, "\(path)/public"] { try File.makeFolder(folder) }
        var bytes = [UInt8](repeating: 7, count: 64)
        guard let secret = FolderSecret(.keyFile, SecretBytes(taking: &bytes)) else { throw FolderFailure("too short") }
        let folder = try EncryptedFolder(path)
        let given = Given()
        let listener = FolderMigration.Listener(note: { _ in }, giveRecovery: { text in given.text = text })
        try FolderMigration(folder, listener).run(secret)
        #expect(given.text.count == 69)
        for place in [path, "\(path)/public"] {
            let report = FolderAudit.report(site: "portal", path: place)
            #expect(report.verdict == .holds, "\(report.findings)")
            #expect(report.facts.contains(Fact("contents", "AES-256-XTS")))
        }
        try LoopVolume.run(["mount", "-t", "tmpfs", "none", "\(path)/public"])
        #expect(FolderAudit.report(site: "portal", path: path).findings[0].verdict == .fallsShort)
        try LoopVolume.run(["umount", "\(path)/public"])
        try LoopVolume.run(["sed", "-i", "s/\"done\"/\"cleaning\"/", "\(volume.path)/.portal.everyhop/journal.json"])
        #expect(FolderAudit.report(site: "portal", path: path).findings[0].verdict == .fallsShort)
    }

    private final class Given {
        var text: [UInt8] = []
    }
}
