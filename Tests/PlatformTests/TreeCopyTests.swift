import Foundation
import Platform
import Support
import Testing

@Suite struct TreeCopyTests {
    private let place: TemporaryFolder
    private var source: String { "\(place.path)/source" }
    private var target: String { "\(place.path)/target" }

    init() throws {
        place = try TemporaryFolder()
        for path in ["source", "target"] { try File.makeFolder("\(place.path)/\(path)") }
    }

    private func pass() throws -> TreeCopy.Outcome {
        try TreeCopy.pass(from: Folder.opened(source), to: Folder.opened(target))
    }

    private func shell(_ script: String) throws {
        let result = try Shell.run(["sh", "-c", "cd \"$0\" && \(script)", place.path], merged: true)
        guard result.status == 0 else { throw DeadlinePassed(description: result.text) }
    }

    private func peer(_ name: String, _ arguments: String...) throws -> String {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../Peers/\(name)").standardizedFileURL.path
        let result = try Shell.run(["python3", path] + arguments, merged: true)
        guard result.status == 0 else { throw DeadlinePassed(description: result.text) }
        return result.text
    }

    private func expectEqual() throws {
        #expect(try peer("tree_digest.py", source) == peer("tree_digest.py", target))
        #expect(try pass().changes == 0)
    }

    @Test func allThatAFolderCanHaveIsCopied() throws {
        _ = try peer("tree_make.py", source, "40", "9000")
        #expect(try pass().changes > 40)
        try expectEqual()
        // What is a hole stays one.
        let sizes = try Shell.run(["du", "-k", "\(target)/sparse"]).text.split(separator: "\t")
        #expect((sizes.first.flatMap { Int($0) } ?? .max) < 100)
    }

    @Test(arguments: [
        "echo more >> source/records/linked", "rm source/link; mkdir source/link; echo x > source/link/y",
        "rm -r source/records/3", "ln -sf elsewhere source/dangling", "chmod 600 source/sparse",
        "chown 5:6 source/fifo",
        "touch -d @77 source/records/4",
        "rm source/records/linked; cp -p source/records/0/0/PATIENT-NAME-0.txt source/records/linked",
        "ln source/sparse source/again",
        "printf X | dd of=source/sparse conv=notrunc bs=1 seek=5; touch -r target/sparse source/sparse",
        "echo extra > target/extra; mkdir target/more", "echo half > target/sparse", "rm target/records/linked",
        "mv source/records source/renamed", "rm target/fifo; echo x > target/fifo", "ln target/sparse target/zz",
        "mknod source/null c 1 3", "rm source/zero; mknod source/zero c 1 3",
    ])
    func whatDiffersIsMended(_ change: String) throws {
        _ = try peer("tree_make.py", source, "20", "5000")
        _ = try pass()
        try shell(change)
        #expect(try pass().changes > 0)
        try expectEqual()
    }

    @Test func nothingOutsideOfTheTreeIsTouched() throws {
        try shell(
            "mkdir outside; echo keep > outside/file; mkdir source/inner target/rest; ln -s ../outside target/inner"
        )
        try shell("ln -s ../../outside target/rest/link; echo x > source/inner/file")
        _ = try pass()
        try expectEqual()
        #expect(try File.read("\(place.path)/outside/file") == Array("keep\n".utf8))
        let folder = try Folder.opened(source)
        try TreeWalk.empty(folder.raw)
        #expect(File.names(in: source).isEmpty)
        #expect(throws: Errno.self) { _ = try Folder.opened("\(place.path)/nothing") }
    }

    @Test func aSurveyFindsLinksThatLeadOutside() throws {
        try shell("echo x > source/a; ln source/a source/b; echo y > source/c; ln source/c outside")
        let survey = try TreeSurvey(Folder.opened(source))
        #expect(survey.entries == 3 && survey.linkedOutside == ["c"])
    }

    @Test func lateChangesAreTakenOverUnlessBothChanged() throws {
        try shell(
            "echo 1 > source/old; echo 1 > source/late; echo 1 > source/both; echo 1 > source/gone; mkdir source/dir"
        )
        _ = try pass()
        let since = try time(touching: "marker")
        try shell("echo 2 > source/late; echo 2 > source/both; echo 2 > source/new; echo 2 > source/dir/new")
        let replaced = try time(touching: "marker")
        try shell("echo 3 > target/both; rm target/gone")
        let late = try TreeCopy.late(
            from: Folder.opened(source),
            to: Folder.opened(target),
            since: since,
            replaced: replaced
        )
        #expect(Set(late.taken) == ["late", "new", "dir/new"] && late.conflicts == ["both"])
        for (name, text) in [("late", "2"), ("new", "2"), ("dir/new", "2"), ("both", "3"), ("old", "1")] {
            #expect(try File.read("\(target)/\(name)") == Array("\(text)\n".utf8))
        }
        #expect(!File.names(in: target).contains("gone"))
    }

    /// The file system's own clock, later than all changes before.
    private func time(touching name: String) throws -> Int64 {
        func now() throws -> Int64 {
            try place.write(name, "")
            var status = stat()
            #expect(stat("\(place.path)/\(name)", &status) == 0)
            return TreeCopy.nanoseconds(status.st_ctim)
        }
        let first = try now()
        var last = first
        try waitUntil("the clock to go on") {
            last = try now()
            return last > first
        }
        return last
    }

    @Test func whoHasFilesOpenIsTold() throws {
        try shell("echo x > source/file")
        let path = "\(source)/file"
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        let child = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "exec cat 3>> \"$0\"", path],
            environment: [],
            descriptors: [],
            standardInput: reading.raw
        )
        defer {
            ChildProcess.end(child)
            _ = ChildProcess.wait(for: child)
        }
        try waitUntil("the file to be open") {
            OpenFiles.below(source).contains { $0.process == child && $0.isWriting }
        }
        #expect(!OpenFiles.below(target).contains { $0.process == child })
        _ = consume writing
    }
}
