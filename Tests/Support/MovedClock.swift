import Foundation
import Platform

/// A wall clock that a test moves under programs that it starts.
///
/// Only what the wall clock says moves, at once and for all of a program's processes; the monotonic clock goes on as on any
/// machine whose time is set.
public final class MovedClock {
    private let folder: TemporaryFolder
    private let file: UnsafeMutablePointer<Int64>

    /// Builds it; it tells the time until it is moved.
    public init() throws {
        folder = try TemporaryFolder()
        let source = #filePath.components(separatedBy: "/Support/")[0] + "/Peers/clock.c"
        try LoopVolume.run(["cc", "-shared", "-fPIC", "-O1", "-o", "\(folder.path)/clock.so", source, "-ldl"])
        try folder.write("seconds", [UInt8](repeating: 0, count: 8))
        let descriptor = open("\(folder.path)/seconds", O_RDWR)
        let page = mmap(nil, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        close(descriptor)
        guard let page, page != MAP_FAILED else { throw Errno(in: "mmap") }
        file = page.bindMemory(to: Int64.self, capacity: 1)
    }

    deinit { munmap(file, 8) }

    /// The beginning of a command that lives by it.
    public var prefix: [String] {
        ["env", "LD_PRELOAD=\(folder.path)/clock.so", "EVERYHOP_TEST_CLOCK=\(folder.path)/seconds"]
    }

    /// Puts it so many days ahead of the true time, or behind.
    public func put(days: Int64) { file.pointee = days * 86_400 }
}
