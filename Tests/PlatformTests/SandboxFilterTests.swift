import Foundation
import Testing

@testable import Platform

@Suite("System call filters") struct SandboxFilterTests {
    /// What `linux-libc-dev` says: the numbers of both machines, by name.
    private func headers() throws -> (x86: [String: UInt32], generic: [String: UInt32]) {
        var x86: [String: UInt32] = [:]
        var generic: [String: UInt32] = [:]
        for path in ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"] {
            for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
                let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
                guard words.count == 3, words[0] == "#define", let number = UInt32(words[2]) else { continue }
                for prefix in ["__NR3264_", "__NR_"] where words[1].hasPrefix(prefix) {
                    let name = String(words[1].dropFirst(prefix.count))
                    if path.contains("x86") { x86[name] = number } else { generic[name] = number }
                    break
                }
            }
        }
        // The 64-bit name of what the generic list calls fstatat.
        generic["newfstatat"] = generic["fstatat"]
        return (x86, generic)
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h")))
    func `numbers are those of the kernel's headers`() throws {
        let headers = try headers()
        for call in SystemCall.allCases {
            #expect(call.numbers.x86 == headers.x86[call.rawValue], "\(call)")
            // mmap and memfd_secret exist on every machine; what the list lacks, aarch64 lacks, too.
            #expect(call.numbers.arm == headers.generic[call.rawValue], "\(call)")
        }
    }

    @Test func `the first rule that fits decides`() {
        let policy = CallPolicy([.network, .accept], process: 4711)
        #expect(policy.verdict(.read) == .allow)
        #expect(policy.verdict(.socket, 2, 0x80801, 0) == .allow)
        #expect(policy.verdict(.socket, 10, 1, 6) == .allow)
        // Another protocol, another type, another family.
        #expect(policy.verdict(.socket, 2, 1, 262) == .kill)
        #expect(policy.verdict(.socket, 2, 2, 0) == .kill)
        #expect(policy.verdict(.socket, 1, 1, 0) == .kill)
        #expect(policy.verdict(.socket, 16, 3, 0) == .kill)
        #expect(policy.verdict(.mmap, 0, 4096, 3) == .allow)
        #expect(policy.verdict(.mmap, 0, 4096, 7) == .kill)
        #expect(policy.verdict(.tgkill, 4711, 4711, 6) == .allow)
        #expect(policy.verdict(.tgkill, 4712, 4712, 6) == .kill)
        #expect(policy.verdict(.kill, 0, 9) == .kill)
        #expect(policy.verdict(.sendto, 3, 0, 1, 0x4000) == .allow)
        #expect(policy.verdict(.sendto, 3, 0, 1, 0x2000_0000) == .kill)
        #expect(policy.verdict(.openat) == .fail(EACCES))
        #expect(policy.verdict(.openat2) == .fail(EACCES))
        #expect(policy.verdict(.statx) == .fail(ENOSYS))
        #expect(policy.verdict(.execve) == .kill)
        #expect(policy.verdict(.fcntl, 3, 8) == .fail(ENOSYS))
        #expect(CallPolicy(.filesBeneath, process: 1).verdict(.openat2) == .allow)
        #expect(CallPolicy(.filesBeneath, process: 1).verdict(.openat) == .fail(EACCES))
        #expect(CallPolicy([], process: 1).verdict(.socket, 2, 1, 0) == .kill)
        // Another machine's interface, and x32's numbers.
        #expect(policy.program(machine: 0xC000_003E).run(machine: 0x4000_0003, 11, []) == .kill)
        #expect(policy.program(machine: 0xC000_003E).run(machine: 0xC000_003E, 0x4000_0000, []) == .kill)
    }
}

extension CallPolicy {
    /// What the program says, run as the kernel runs it.
    fileprivate func verdict(_ call: SystemCall, _ arguments: UInt64...) -> CallVerdict? {
        guard let number = call.number else { return nil }
        return program(machine: 0xC000_003E).run(machine: 0xC000_003E, number, arguments)
    }
}

extension FilterProgram {
    /// The kernel's machine for classic BPF, as far as the assembler uses it.
    fileprivate func run(machine: UInt32, _ number: UInt32, _ arguments: [UInt64]) -> CallVerdict? {
        var accumulator: UInt32 = 0
        var place = 0
        while instructions.indices.contains(place) {
            let next = instructions[place]
            place += 1
            switch next.code {
            case 0x20:
                switch next.value {
                case 0: accumulator = number
                case 4: accumulator = machine
                case let offset:
                    let index = Int(offset - 16) / 8
                    accumulator = UInt32(truncatingIfNeeded: arguments.indices.contains(index) ? arguments[index] : 0)
                }
            case 0x54: accumulator &= next.value
            case 0x15: place += Int(accumulator == next.value ? next.ifTrue : next.ifFalse)
            case 0x35: place += Int(accumulator >= next.value ? next.ifTrue : next.ifFalse)
            case 0x06:
                switch next.value & 0xFFFF_0000 {
                case 0x7FFF_0000: return .allow
                case 0x8000_0000: return .kill
                default: return .fail(CInt(next.value & 0xFFFF))
                }
            default: return nil
            }
        }
        return nil
    }
}
