import Bytes
import Glibc

/// How a process is right now, as proc(5) tells it without its help.
public enum ProcessState {
    /// Bytes of memory that are the process's own: nobody else has them, and they end with it; nil when it is gone.
    public static func memory(of process: Int32) -> UInt64? {
        guard let text = try? File.read("/proc/\(process)/statm", limit: 4096) else { return nil }
        let fields = text.split(separator: 0x20).map(number)
        // All pages, resident ones, those of them that belong to files or are shared.
        guard fields.count > 2, let resident = fields[1], let shared = fields[2] else { return nil }
        return UInt64(max(0, resident - shared)) * UInt64(max(1, sysconf(CInt(_SC_PAGESIZE))))
    }

    /// What a process does that does not answer: `stopped, in do_signal_stop, 12 s of processor time`.
    public static func summary(of process: Int32) -> String {
        guard let bytes = try? File.read("/proc/\(process)/stat", limit: 4096),
            // The name may hold anything, also brackets.
            let end = bytes.lastIndex(of: 0x29)
        else { return "it cannot be seen" }
        let fields = bytes[(end + 1)...].split(separator: 0x20)
        guard fields.count > 12, let state = fields[0].first else { return "it cannot be seen" }
        var text = name(of: state)
        if let place = try? File.read("/proc/\(process)/wchan", limit: 256), !place.isEmpty, place != [0x30] {
            text += ", in \(String(decoding: place, as: UTF8.self))"
        }
        let ticks = (number(fields[11]) ?? 0) + (number(fields[12]) ?? 0)
        return text + ", \(ticks / max(1, sysconf(CInt(_SC_CLK_TCK)))) s of processor time used"
    }

    /// Bytes of memory that this process and its children may have together: the machine's, or the control group's.
    public static func memoryOfHost() -> UInt64 {
        var least = UInt64(max(1, sysconf(CInt(_SC_PHYS_PAGES)))) * UInt64(max(1, sysconf(CInt(_SC_PAGESIZE))))
        guard let lines = try? File.read("/proc/self/cgroup", limit: 65_536) else { return least }
        for line in lines.split(separator: 0x0A) where line.starts(with: Array("0::".utf8)) {
            var path = "/sys/fs/cgroup" + String(decoding: line.dropFirst(3), as: UTF8.self)
            while path.hasPrefix("/sys/fs/cgroup") {
                if let text = try? File.read("\(path)/memory.max", limit: 64),
                    let limit = number(text.prefix { $0 != 0x0A }), limit > 0
                {
                    least = min(least, UInt64(limit))
                }
                guard let slash = path.lastIndex(of: "/") else { break }
                path = String(path[..<slash])
            }
        }
        return least
    }

    private static func name(of state: UInt8) -> String {
        switch UnicodeScalar(state) {
        case "T", "t": "stopped"
        case "D": "waiting for the kernel"
        case "R": "running"
        case "S": "waiting"
        case "Z": "ended"
        default: "in state \(UnicodeScalar(state))"
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        digits.count < 18 ? ASCII.decimal(digits.span).flatMap { Int(exactly: $0) } : nil
    }
}
