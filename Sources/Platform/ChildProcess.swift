import CLinux
import Glibc

/// A program started with posix_spawn(3): nothing of the parent but what is handed over reaches it.
public enum ChildProcess {
    /// The first descriptor that a child finds its inheritance at.
    public static let firstDescriptor: CInt = 3

    /// Starts `path`.
    ///
    /// - Parameters:
    ///   - arguments: all of them, the program's name first.
    ///   - descriptors: what the child finds at 3, 4 and so on; the parent keeps its own copies.
    ///   - standardInput: what the child finds at 0, or nil for the parent's.
    ///   - standardOutput: what the child finds at 1, or nil for the parent's.
    ///   - standardError: what the child finds at 2, or nil for the parent's.
    /// - Returns: the child's process id; the caller waits for it.
    public static func spawn(
        _ path: String,
        arguments: [String],
        environment: [String],
        descriptors: [CInt],
        standardInput: CInt? = nil,
        standardOutput: CInt? = nil,
        standardError: CInt? = nil
    ) throws(Errno) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let standardInput { posix_spawn_file_actions_adddup2(&actions, standardInput, 0) }
        if let standardOutput { posix_spawn_file_actions_adddup2(&actions, standardOutput, 1) }
        if let standardError { posix_spawn_file_actions_adddup2(&actions, standardError, 2) }
        // Through high numbers first: a source must not be overwritten before it is copied.
        let high = (descriptors.max() ?? 0) + firstDescriptor + CInt(descriptors.count) + 1
        for (index, source) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, source, high + CInt(index))
        }
        for index in descriptors.indices {
            posix_spawn_file_actions_adddup2(&actions, high + CInt(index), firstDescriptor + CInt(index))
        }
        _ = everyhop_spawn_close_from(&actions, firstDescriptor + CInt(descriptors.count))

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var process: pid_t = 0
        let result = withPointers(arguments) { argv in
            withPointers(environment) { envp in posix_spawn(&process, path, &actions, &attributes, argv, envp) }
        }
        guard result == 0 else { throw Errno(result, in: "posix_spawn") }
        return process
    }

    /// The variables that a child of this program gets: what its libraries look at, and the test suite.
    ///
    /// A password or a service manager's socket is for nobody but this process.
    private static let inherited: Set<String> = [
        "PATH", "TZ", "TZDIR", "LANG", "LANGUAGE", "LOCALDOMAIN", "RES_OPTIONS", "OPENSSL_CONF", "OPENSSL_MODULES",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "LLVM_PROFILE_FILE",
    ]
    private static let inheritedPrefixes = [
        "LC_", "OPENSSL_ia32cap", "MALLOC_", "ASAN_", "TSAN_", "UBSAN_", "EVERYHOP_TEST_",
    ]

    /// Starts this very program again with other arguments, and little of this process's environment.
    ///
    /// - Parameter variables: what else of the environment it gets, by name.
    public static func spawnSelf(
        _ arguments: [String],
        descriptors: [CInt],
        standardOutput: CInt? = nil,
        variables: [String] = []
    ) throws(Errno) -> Int32 {
        let environment = currentEnvironment().filter { entry in
            let name = String(entry.prefix { $0 != "=" })
            return inherited.contains(name) || variables.contains(name)
                || inheritedPrefixes.contains { name.hasPrefix($0) }
        }
        return try spawn(
            "/proc/self/exe",
            arguments: ["everyhop"] + arguments,
            // A crash report of the Swift runtime prints registers and memory, which may hold keys or health data.
            environment: environment + ["SWIFT_BACKTRACE=enable=no"],
            descriptors: descriptors,
            standardOutput: standardOutput
        )
    }

    /// Collects one child that has ended, without waiting; nil when none has.
    ///
    /// - Returns: its id, and its exit status, or the negative number of the signal that ended it.
    public static func reap(_ process: Int32 = -1) -> (process: Int32, status: Int)? {
        var status: CInt = 0
        let ended = waitpid(process, &status, WNOHANG)
        return ended > 0 ? (ended, Int(everyhop_wait_status(status))) : nil
    }

    /// Ends a child at once (SIGKILL); the caller still collects it.
    public static func end(_ process: Int32) {
        guard process > 1 else { return }
        kill(process, SIGKILL)
    }

    /// Ends this process at once (SIGKILL), as a failure of power would.
    public static func endSelf() { kill(getpid(), SIGKILL) }

    /// Waits until `process` has ended; its status as `reap` gives it.
    public static func wait(for process: Int32) -> Int {
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { return -1 }
        }
        return Int(everyhop_wait_status(status))
    }

    /// Who started this process, or took it over when that one died.
    public static var parent: Int32 { getppid() }

    /// Has the kernel end this process when its parent dies.
    ///
    /// To be called after the last change of user, which takes it back.
    ///
    /// - Parameter parent: who it was when this process began; one that has died meanwhile ends it at once.
    public static func dieWithParent(_ parent: Int32) {
        _ = everyhop_set_parent_death_signal(SIGKILL)
        if getppid() != parent { endSelf() }
    }

    /// The variables of this process, as `NAME=value`.
    public static func currentEnvironment() -> [String] {
        var list: [String] = []
        var next = environ
        while let entry = next.pointee {
            list.append(String(cString: entry))
            next += 1
        }
        return list
    }

    private static func withPointers<R>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map(body) ?? body(UnsafePointer(UnsafeMutablePointer.allocate(capacity: 1)))
        }
    }
}
