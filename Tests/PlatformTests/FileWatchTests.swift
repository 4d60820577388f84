import Foundation
import Platform
import Support
import Testing

@Suite("Watched files") struct FileWatchTests {
    let folder: TemporaryFolder
    let watch: FileWatch

    init() throws {
        folder = try TemporaryFolder()
        watch = try FileWatch()
    }

    private func expectChange(of path: String, _ body: () throws -> Void) throws {
        try watch.watch([path])
        _ = watch.drain()
        let before = FileSignature(path: path)
        try body()
        try waitUntil("an event of \(path)") { watch.drain() }
        #expect(FileSignature(path: path) != before)
    }

    @Test func `a file that is written, replaced, removed and made again is seen`() throws {
        let path = try folder.write("key.pem", "one")
        try expectChange(of: path) { try folder.write("key.pem", "two") }
        try expectChange(of: path) {
            try folder.write("key.new", "three")
            try File.rename("\(folder.path)/key.new", to: path)
        }
        try expectChange(of: path) { File.remove(path) }
        #expect(FileSignature(path: path) == FileSignature(path: "\(folder.path)/never"))
        try expectChange(of: path) { try folder.write("key.pem", "three") }
    }

    @Test func `a link that is turned to another folder is seen, and the new folder from then on`() throws {
        let manager = FileManager.default
        for version in ["one", "two"] {
            try File.makeFolder("\(folder.path)/..\(version)")
            try folder.write("..\(version)/key.pem", version)
        }
        // As Kubernetes lays a secret out.
        try manager.createSymbolicLink(atPath: "\(folder.path)/..data", withDestinationPath: "..one")
        try manager.createSymbolicLink(atPath: "\(folder.path)/key.pem", withDestinationPath: "..data/key.pem")
        let path = "\(folder.path)/key.pem"
        try expectChange(of: path) {
            try manager.createSymbolicLink(atPath: "\(folder.path)/..tmp", withDestinationPath: "..two")
            try File.rename("\(folder.path)/..tmp", to: "\(folder.path)/..data")
        }
        try expectChange(of: path) { try folder.write("..two/key.pem", "two again") }
    }

    @Test func `a folder that is not there yet is seen when it comes`() throws {
        let path = "\(folder.path)/later/key.pem"
        try watch.watch([path])
        try File.makeFolder("\(folder.path)/later")
        try waitUntil("the folder's event") { watch.drain() }
        try expectChange(of: path) { try folder.write("later/key.pem", "here") }
    }

    @Test func `a log that was put away has moved, one that goes on has not`() throws {
        let path = "\(folder.path)/log"
        let log = try File.openForAppending(path)
        try File.writeAll(Array("a line".utf8), to: log.raw)
        #expect(!File.hasMoved(log.raw, from: path))
        try File.rename(path, to: path + ".1")
        #expect(File.hasMoved(log.raw, from: path))
        try folder.write("log", "")
        #expect(File.hasMoved(log.raw, from: path))
    }

    @Test func `links that lead in a circle end`() throws {
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/a", withDestinationPath: "b")
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/b", withDestinationPath: "a")
        try watch.watch(["\(folder.path)/a"])
        #expect(FileSignature(path: "\(folder.path)/a") == FileSignature(path: "/never"))
    }
}

@Suite("Sockets with abstract names") struct AbstractSocketTests {
    @Test func `each end knows who is at the other, and a name has one owner`() throws {
        let name = "everyhop-test/\(UInt64.random(in: 0...UInt64.max))"
        let listener = try AbstractSocket.listen(name)
        #expect(throws: Errno.self) { _ = try AbstractSocket.listen(name) }
        let client = try AbstractSocket.connect(name)
        guard let accepted = try Socket.accept(from: listener)?.takeDescriptor() else {
            Issue.record("nobody has come")
            return
        }
        for end in [AbstractSocket.peer(of: client), AbstractSocket.peer(of: accepted)] {
            #expect(end?.user == geteuid() && end?.process == getpid() && end?.isTrusted == true)
        }
        #expect(throws: Errno.self) { _ = try AbstractSocket.connect(name + "/nobody") }
        #expect(throws: Errno.self) { _ = try AbstractSocket.connect(String(repeating: "x", count: 200)) }
    }
}
