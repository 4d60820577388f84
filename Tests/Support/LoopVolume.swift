import Platform

/// A file system in a file, mounted for a test: what lies on its device can be read like a disk that was stolen.
public final class LoopVolume: Sendable {
    private let folder: TemporaryFolder
    /// The file that is its disk.
    public let image: String
    /// Where it is mounted.
    public let path: String

    /// Makes ext4 with the feature `encrypt`, or without.
    public init(megabytes: Int = 96, encrypts: Bool = true) throws {
        folder = try TemporaryFolder()
        image = "\(folder.path)/image"
        path = "\(folder.path)/mounted"
        try File.makeFolder(path)
        try Self.run(["truncate", "-s", "\(megabytes)M", image])
        let feature = encrypts ? "encrypt" : "^encrypt"
        try Self.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", feature, image])
        try mount()
    }

    deinit {
        // What is mounted inside goes first; the image goes with the folder only when nothing holds it.
        for inner in ((try? MountTable.current())?.below(path) ?? []).reversed() {
            _ = try? Shell.run(["umount", "-l", inner.path], merged: true)
        }
        _ = try? Shell.run(["umount", "-l", path], merged: true)
    }

    /// Mounts it, as after a start of the machine: no key is there any more.
    public func mount() throws { try Self.run(["mount", "-o", "loop", image, path]) }

    /// Unmounts it.
    public func unmount() throws { try Self.run(["umount", path]) }

    /// Runs a program that has to succeed.
    @discardableResult
    public static func run(_ arguments: [String]) throws -> String {
        let result = try Shell.run(arguments, merged: true)
        guard result.status == 0 else {
            throw DeadlinePassed(description: "\(arguments.joined(separator: " ")): \(result.status): \(result.text)")
        }
        return result.text
    }
}
