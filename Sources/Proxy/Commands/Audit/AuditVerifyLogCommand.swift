import ArgumentParser
import Evidence
import Platform

/// `everyhop audit verify-log`: whether an audit log is what was written.
struct AuditVerifyLogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify-log",
        abstract: "Check the chain of an audit log.",
        discussion: """
            Each line names the one before it by its digest, so a line that was changed, inserted or removed is found.
            That lines were cut off at the end shows only by comparing the head with one that was written down before,
            as every audit report does. Give rotated files first, the oldest in front.

            Exit code 0 when the chain holds, 1 when it is broken, 2 when a file cannot be read.

            Example:
              everyhop audit verify-log /var/log/everyhop/audit.log
            """
    )

    @Argument(help: "The log, or logs that follow each other.")
    var files: [String]

    func run() throws {
        var last: AuditLogVerification?
        for file in files {
            let bytes: [UInt8]
            do throws(Errno) { bytes = try File.read(file, limit: 1 << 30, orPipeFor: File.patience) } catch {
                Complaint.write("everyhop: \(file) cannot be read: \(error.message)")
                throw ExitCode(2)
            }
            let log = AuditLogVerification(bytes, after: last)
            if let broken = log.broken {
                print("\(file):\(broken.line): broken: this line \(broken.reason)")
                throw ExitCode(1)
            }
            guard log.entries > 0 else {
                print("\(file): broken: there is no entry")
                throw ExitCode(1)
            }
            print("\(file): good: \(log.entries) entries, \(log.first) to \(log.last), the last of \(log.lastTime)")
            if let before = log.continues { print("  begins after the line with the digest \(before)") }
            if log.torn > 0 { print("  \(log.torn) lines were cut off, as by a loss of power; each is accounted for") }
            print("  head \(log.head)")
            last = log
        }
    }
}
