import ArgumentParser
import Platform
import TLS

/// `everyhop cert`: what IIS Manager's Server Certificates page does.
struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert",
        abstract: "Make, import and show certificates.",
        subcommands: [SelfSigned.self, Request.self, ImportPFX.self, Show.self]
    )

    /// Where a certificate or request and its key are written.
    struct Output: ParsableArguments {
        @Option(name: .shortAndLong, help: "Write OUT.pem (or OUT.csr) and OUT.key.")
        var out: String

        @Flag(help: "Replace files that exist.")
        var force = false

        func write(_ first: [UInt8], suffix: String, key: [UInt8]) throws {
            let paths = ["\(out)\(suffix)", "\(out).key"]
            for path in paths where !force && (try? File.read(path)) != nil {
                throw ValidationError("\(path) exists; use --force to replace it")
            }
            do {
                try File.write(key, to: paths[1], mode: 0o600)
                try File.write(first, to: paths[0], mode: 0o644)
            } catch {
                Complaint.write("everyhop: \(out): \(error)")
                throw ExitCode(1)
            }
            print("wrote \(paths[0]) and \(paths[1])")
        }
    }

    /// Whom it is for, and with what key.
    struct Subject: ParsableArguments {
        @Argument(help: "Host names and IP addresses that it is for.")
        var names: [String]

        @Option(help: "The kind of key: ecdsa or rsa.")
        var key = KeyKind.ecdsa
    }

    struct SelfSigned: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a certificate that is its own authority.",
            discussion: "Example:\n  everyhop cert self-signed portal.example.org 203.0.113.7 --out certs/portal"
        )

        @OptionGroup var subject: Subject
        @OptionGroup var output: Output
        @Option(help: "Days that it is valid.") var days = 397

        func validate() throws {
            guard (1...36_500).contains(days) else { throw ValidationError("--days is from 1 to 36500") }
        }

        func run() throws {
            let made = try Refusal.explained {
                try CertificateMaker.selfSigned(names: subject.names, key: subject.key.kind, days: days)
            }
            try output.write(made.certificatePEM, suffix: ".pem", key: made.keyPEM)
            for facts in try CertificateFacts.read(pem: made.certificatePEM) { CertificatePrinter.print(facts) }
        }
    }

    struct Request: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "csr",
            abstract: "Make a key and a request for an authority to sign.",
            discussion: "Example:\n  everyhop cert csr portal.example.org --out certs/portal"
        )

        @OptionGroup var subject: Subject
        @OptionGroup var output: Output

        func run() throws {
            let made = try Refusal.explained {
                try CertificateMaker.request(names: subject.names, key: subject.key.kind)
            }
            try output.write(made.certificatePEM, suffix: ".csr", key: made.keyPEM)
        }
    }

    struct ImportPFX: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import-pfx",
            abstract: "Turn a PKCS#12 file, as IIS exports it, into PEM files.",
            discussion: "Example:\n  everyhop cert import-pfx portal.pfx --password-file portal.pass --out certs/portal"
        )

        @Argument(help: "The PKCS#12 file.") var file: String
        @Option(help: "A file that holds its password.") var passwordFile: String?
        @OptionGroup var output: Output

        func run() throws {
            let parts = try Refusal.explained {
                let password = try passwordFile.map { try File.read($0, orPipeFor: File.patience) } ?? []
                let bytes = try File.read(file, orPipeFor: File.patience)
                return try PFX.read(bytes, password: password.filter { $0 != 0x0A && $0 != 0x0D })
            }
            try output.write(parts.chainPEM, suffix: ".pem", key: parts.keyPEM)
            for facts in try CertificateFacts.read(pem: parts.chainPEM) { CertificatePrinter.print(facts) }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the certificates of a PEM file, with their pins.",
            discussion: "Example:\n  everyhop cert show certs/portal.pem"
        )

        @Argument(help: "A PEM file.") var file: String

        func run() throws {
            let list = try Refusal.explained {
                try CertificateFacts.read(pem: try File.read(file, orPipeFor: File.patience))
            }
            for facts in list { CertificatePrinter.print(facts) }
        }
    }
}

/// The kinds of key by their names on the command line.
enum KeyKind: String, ExpressibleByArgument {
    case ecdsa
    case rsa

    var kind: CertificateMaker.KeyKind { self == .ecdsa ? .ecdsa : .rsa }
}

/// Turns a failure that a user caused into a line on standard error and exit code 1.
enum Refusal {
    static func explained<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch {
            Complaint.write("everyhop: \(error)")
            throw ExitCode(1)
        }
    }
}

/// Certificates as people read them.
enum CertificatePrinter {
    static func print(_ facts: CertificateFacts) {
        let names = (facts.names + facts.addresses).joined(separator: ", ")
        Swift.print(
            """
            subject      \(facts.subject)
            issuer       \(facts.issuer)\(facts.isSelfSigned ? " (self-signed)" : "")
            names        \(names.isEmpty ? "-" : names)
            valid        \(CalendarDate.text(facts.notBefore)) to \(CalendarDate.text(facts.notAfter))
            key          \(facts.keyType)
            serial       \(facts.serial)
            fingerprint  sha256 \(facts.fingerprint)
            pin          \(facts.pin)

            """
        )
    }
}
