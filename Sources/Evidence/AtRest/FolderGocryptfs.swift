internal import FoundationEssentials
import Platform

/// What a folder of ciphertext says about itself (gocryptfs.conf).
struct GocryptfsSettings: Equatable {
    /// The cipher for contents.
    let contents: String
    /// The cipher for names.
    let names: String
    /// Whether names are encrypted at all.
    let encryptsNames: Bool

    /// Why a folder is none.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    private struct Form: Decodable {
        let EncryptedKey: String
        let Version: Int
        let FeatureFlags: [String]
    }

    /// Reads the settings of a folder.
    static func read(folder: String) throws(Unreadable) -> GocryptfsSettings {
        let bytes: [UInt8]
        do { bytes = try File.read("\(folder)/gocryptfs.conf", limit: 1 << 20) } catch {
            throw Unreadable(description: "gocryptfs.conf: \(error)")
        }
        return try GocryptfsSettings(json: bytes)
    }

    /// Takes the settings apart.
    init(json bytes: [UInt8]) throws(Unreadable) {
        let form: Form
        do { form = try JSONDecoder().decode(Form.self, from: Data(bytes)) } catch {
            throw Unreadable(description: "gocryptfs.conf is not what gocryptfs writes")
        }
        guard form.Version == 2, form.EncryptedKey.utf8.count >= 64 else {
            throw Unreadable(description: "gocryptfs.conf has no key of version 2")
        }
        let flags = Set(form.FeatureFlags)
        if flags.contains("XChaCha20Poly1305") {
            contents = "XChaCha20-Poly1305"
        } else {
            contents = flags.contains("AESSIV") ? "AES-SIV-512" : "AES-256-GCM"
        }
        encryptsNames = !flags.contains("PlaintextNames") && flags.contains("EMENames")
        names = encryptsNames ? "AES-256-EME" : "in plain"
    }
}
