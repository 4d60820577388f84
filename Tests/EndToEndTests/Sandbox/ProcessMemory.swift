import Foundation
import Platform
import Support

/// What another process has in its memory, as root sees it.
struct ProcessMemory {
    let process: Int32

    /// The flags (proc(5), smaps) of each writable place that holds some bytes, once for each place.
    func places(of needle: [UInt8]) throws -> [Set<String>] {
        let file = open("/proc/\(process)/mem", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw DeadlinePassed(description: "the memory of \(process) cannot be read") }
        defer { close(file) }
        // Not by Foundation, which takes the kernel's first piece for the whole.
        let maps = String(decoding: try File.read("/proc/\(process)/smaps"), as: UTF8.self)
        var found = 0
        var places: [Set<String>] = []
        for line in maps.split(separator: "\n") {
            if line.hasPrefix("VmFlags:") {
                let flags = Set(line.split(separator: " ").dropFirst().map(String.init))
                places += [Set<String>](repeating: flags, count: found)
                found = 0
            } else if line.contains(" rw"), let range = Self.range(line) {
                found = count(of: needle, range, file)
            }
        }
        return places
    }

    private static func range(_ line: Substring) -> Range<Int>? {
        let ends = line.split(separator: " ")[0].split(separator: "-").compactMap { Int($0, radix: 16) }
        return ends.count == 2 && ends[0] < ends[1] ? ends[0]..<ends[1] : nil
    }

    private func count(of needle: [UInt8], _ range: Range<Int>, _ file: Int32) -> Int {
        var bytes = [UInt8](repeating: 0, count: range.count)
        let got = pread(file, &bytes, bytes.count, off_t(range.lowerBound))
        guard got > 0 else { return 0 }
        var rest = Data(bytes.prefix(got))[...]
        var count = 0
        while let place = rest.range(of: Data(needle)) {
            count += 1
            rest = rest[place.upperBound...]
        }
        return count
    }
}
