import CLinux

/// What the kernel does with a system call.
enum CallVerdict: Equatable {
    case allow
    /// The call fails with this number.
    case fail(CInt)
    /// The process ends with SIGSYS.
    case kill

    fileprivate var value: UInt32 {
        switch self {
        case .allow: 0x7FFF_0000
        case .fail(let code): 0x0005_0000 | UInt32(truncatingIfNeeded: code) & 0xFFFF
        case .kill: 0x8000_0000
        }
    }
}

/// What is decided about one system call when all conditions hold; of several rules the first that fits counts.
struct CallRule: Equatable {
    /// Something about an argument: `argument & mask == value`.
    ///
    /// The lower half only: whatever is looked at here, the kernel takes as an `int`, too.
    struct Condition: Equatable {
        var argument: Int
        var mask: UInt32
        var value: UInt32
    }

    var call: SystemCall
    var conditions: [Condition] = []
    var verdict = CallVerdict.allow
}

/// An assembler for seccomp: from a list of rules to a program of classic BPF that the kernel runs for each system call.
struct FilterProgram {
    // linux/bpf_common.h
    private static let loadWord: UInt16 = 0x20
    private static let and: UInt16 = 0x54
    private static let jumpIfEqual: UInt16 = 0x15
    private static let jumpIfAtLeast: UInt16 = 0x35
    private static let leave: UInt16 = 0x06
    // struct seccomp_data
    private static let numberPlace: UInt32 = 0
    private static let machinePlace: UInt32 = 4
    private static let argumentsPlace: UInt32 = 16
    /// Where the numbers of the x32 interface begin, which reach the same calls past rules for the usual ones.
    private static let x32: UInt32 = 0x4000_0000

    /// One instruction; jumps count the instructions that are left out.
    struct Instruction: Equatable {
        var code: UInt16
        var ifTrue: UInt8
        var ifFalse: UInt8
        var value: UInt32
    }

    private(set) var instructions: [Instruction] = []

    /// - Parameters:
    ///   - machine: as `seccomp_data` has it; a call made through another machine's interface is deadly.
    ///   - otherwise: what becomes of calls that no rule names.
    init(_ rules: [CallRule], machine: UInt32, otherwise: CallVerdict) {
        add(Self.loadWord, Self.machinePlace)
        add(Self.jumpIfEqual, machine, ifTrue: 1)
        add(Self.leave, CallVerdict.kill.value)
        add(Self.loadWord, Self.numberPlace)
        add(Self.jumpIfAtLeast, Self.x32, ifFalse: 1)
        add(Self.leave, CallVerdict.kill.value)
        for rule in rules {
            guard let number = rule.call.number else { continue }
            append(rule, number)
        }
        add(Self.leave, otherwise.value)
    }

    /// Makes this the law for this process, for good; rules of an earlier one go on to hold, too.
    func install() throws(Errno) {
        var program = instructions.map { sock_filter(code: $0.code, jt: $0.ifTrue, jf: $0.ifFalse, k: $0.value) }
        let result = program.withUnsafeMutableBufferPointer {
            everyhop_install_filter($0.baseAddress, UInt16(clamping: $0.count))
        }
        guard result == 0 else { throw Errno(in: "seccomp") }
    }

    private mutating func append(_ rule: CallRule, _ number: UInt32) {
        if rule.conditions.isEmpty {
            add(Self.jumpIfEqual, number, ifFalse: 1)
            add(Self.leave, rule.verdict.value)
            return
        }
        // Load, mask and compare for each; then the verdict, and the number again for the rules that follow.
        let length = rule.conditions.reduce(0) { $0 + ($1.mask == .max ? 2 : 3) }
        add(Self.jumpIfEqual, number, ifFalse: length + 2)
        var left = length
        for condition in rule.conditions {
            let size = condition.mask == .max ? 2 : 3
            left -= size
            add(Self.loadWord, Self.argumentsPlace + 8 * UInt32(truncatingIfNeeded: condition.argument))
            if condition.mask != .max { add(Self.and, condition.mask) }
            add(Self.jumpIfEqual, condition.value, ifFalse: left + 1)
        }
        add(Self.leave, rule.verdict.value)
        add(Self.loadWord, Self.numberPlace)
    }

    private mutating func add(_ code: UInt16, _ value: UInt32, ifTrue: Int = 0, ifFalse: Int = 0) {
        instructions.append(
            Instruction(code: code, ifTrue: UInt8(clamping: ifTrue), ifFalse: UInt8(clamping: ifFalse), value: value)
        )
    }
}
