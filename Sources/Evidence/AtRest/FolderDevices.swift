import Glibc
import Platform

/// What lies below a file system, from the kernel's description of its block devices.
struct FolderDevices {
    enum Answer: Equatable {
        case encrypted([Fact])
        case plain(String)
    }

    /// Where the description is; tests have their own.
    var root = "/sys"

    private static let deepest = 16

    /// Whether every block device below a mount is one of dm-crypt, or lies on some.
    func encryption(of mount: MountTable.Mount, depth: Int) -> Answer {
        var device = mount.device
        if device.hasPrefix("0:") {
            // btrfs and others have a number of their own; what they were mounted from is a device all the same.
            var status = stat()
            guard mount.source.hasPrefix("/dev/"), stat(mount.source, &status) == 0, status.st_mode & S_IFMT == S_IFBLK
            else { return .plain("\(mount.type) lies on no block device") }
            device = MountTable.deviceNumber(status.st_rdev)
        }
        let members = mount.type == "btrfs" ? siblings(of: device) : [device]
        return all(members, of: mount.source, depth: depth)
    }

    /// One that is in plain makes all of it plain.
    private func all(_ devices: [String], of name: String, depth: Int) -> Answer {
        guard !devices.isEmpty, depth < Self.deepest else { return .plain("nothing encrypts \(name)") }
        var facts: [Fact] = []
        for device in devices {
            switch encryption(of: device, depth: depth + 1) {
            case .encrypted(let more): facts += more.filter { !facts.contains($0) }
            case .plain(let reason): return .plain(reason)
            }
        }
        return .encrypted(facts)
    }

    private func encryption(of device: String, depth: Int) -> Answer {
        let place = "\(root)/dev/block/\(device)"
        let name = Self.base(try? File.absolutePath(place)) ?? device
        if let uuid = line("\(place)/dm/uuid"), let kind = Self.kind(uuid) {
            let label = line("\(place)/dm/name") ?? name
            return .encrypted([Fact("encrypted device", "\(label) (\(kind), \(name))")])
        }
        // A link is followed by the kernel, so ".." of a partition is the disk, not the folder of links.
        if line("\(place)/partition") != nil, let parent = line("\(place)/../dev"), parent != device {
            return all([parent], of: name, depth: depth)
        }
        if let backing = line("\(place)/loop/backing_file") {
            guard depth < Self.deepest,
                let below = try? FolderEncryption.inspect(backing, devices: self, depth: depth + 1)
            else { return .plain("\(backing), which \(name) lies in, cannot be looked at") }
            guard below.isEncrypted else { return .plain("nothing encrypts \(backing), which \(name) lies in") }
            return .encrypted([Fact("in a file of", below.engine.rawValue)] + below.detail)
        }
        let slaves = File.names(in: "\(place)/slaves").compactMap { line("\(place)/slaves/\($0)/dev") }
        return all(slaves, of: name, depth: depth)
    }

    /// Every device of the btrfs that one belongs to.
    private func siblings(of device: String) -> [String] {
        for name in File.names(in: "\(root)/fs/btrfs") {
            let folder = "\(root)/fs/btrfs/\(name)/devices"
            let members = File.names(in: folder).compactMap { line("\(folder)/\($0)/dev") }
            if members.contains(device) { return members }
        }
        return []
    }

    /// The format of an encrypted device by its identifier: verity and integrity are names of cryptsetup, too, and
    /// encrypt nothing.
    static func kind(_ uuid: String) -> String? {
        let parts = uuid.split(separator: "-", maxSplits: 2)
        guard parts.count >= 2, parts[0] == "CRYPT" else { return nil }
        switch parts[1] {
        case "VERITY", "INTEGRITY", "SUBDEV": return nil
        default: return String(parts[1])
        }
    }

    private static func base(_ path: String?) -> String? { path?.split(separator: "/").last.map(String.init) }

    private func line(_ path: String) -> String? {
        guard let bytes = try? File.read(path, limit: 4096) else { return nil }
        return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
    }
}
