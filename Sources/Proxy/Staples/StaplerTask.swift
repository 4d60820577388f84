import Config
import Platform
import TLS

/// The stapler process: asks authorities about the certificates that bindings show, which may wait, and tells the master
/// what they answer.
///
/// A process of its own: it is the only one that reads from the network without TLS, and holds no key and no traffic.
struct StaplerTask: ~Copyable {
    /// How long one question may take, in milliseconds.
    private static let patience: UInt64 = 10_000

    /// A certificate that is asked about.
    struct Subject {
        let name: String
        let asked: StapleSubject
        /// The answer that a file holds, which is then not asked for.
        let file: [UInt8]?

        /// The responders that can be asked.
        var responders: [Responder] { asked.addresses.compactMap { Responder($0) } }
    }

    private struct Entry {
        let subject: Subject
        var update: StapleUpdate
        /// Failures in a row.
        var failures = 0
        /// When to ask again, in seconds since 1970.
        var due: Int64 = 0
    }

    private var channel: ControlChannel
    private var entries: [Entry]
    private var clock = WallClockWatch(unix: Clock.unixMicroseconds(), monotonic: Clock.monotonicMicroseconds())

    /// Every certificate of a binding that can be asked about, each once.
    static func subjects(_ bundle: Bundle, _ configuration: Configuration) -> [Subject] {
        var seen: Set<String> = []
        return configuration.certificates.compactMap { certificate in
            guard configuration.shownCertificates.contains(certificate.name),
                let chain = bundle.resources[CertificateStore.chainName(certificate.name)],
                let asked = try? StapleSubject(chainPEM: chain)
            else { return nil }
            let file = bundle.resources[CertificateStore.stapleName(certificate.name)]
            let isAsked = configuration.tls.ocsp == .auto && !asked.addresses.isEmpty
            guard file != nil || isAsked, seen.insert(asked.facts.fingerprint).inserted else { return nil }
            return Subject(name: certificate.name, asked: asked, file: file)
        }
    }

    /// Everybody who is asked: what a sandbox has to leave open.
    static func responders(_ bundle: Bundle, _ configuration: Configuration) -> [Responder] {
        subjects(bundle, configuration).filter { $0.file == nil }.flatMap(\.responders)
    }

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws {
        var task = StaplerTask(setup)
        try task.run()
    }

    private init(_ setup: consuming HelperSetup) {
        entries = Self.subjects(setup.bundle, setup.configuration).map { subject in
            Entry(
                subject: subject,
                update: StapleUpdate(
                    fingerprint: subject.asked.facts.fingerprint,
                    certificate: subject.name,
                    mustStaple: subject.asked.mustStaple
                )
            )
        }
        channel = setup.takeChannel()
    }

    private mutating func run() throws {
        try readControl()
        while true {
            // What a wrong clock made of an answer, and of the time for the next question, does not hold.
            if clock.wasSet(unix: Clock.unixMicroseconds(), monotonic: Clock.monotonicMicroseconds()) {
                for index in entries.indices { entries[index].due = Self.now }
            }
            for index in entries.indices where entries[index].due <= Self.now {
                entries[index] = looked(entries[index])
                try channel.send(kind: ControlKind.staple.rawValue, entries[index].update.encoded())
                // Each question may wait; the master asks meanwhile whether anybody is there.
                try readControl()
            }
            try channel.flushWaiting()
            let next = entries.map(\.due).min() ?? Int64.max
            // A clock that is set is noticed within a minute.
            let pause = UInt64(clamping: min(max(next - Self.now, 0), 60)) * 1000
            if try channel.waitForMaster(milliseconds: max(pause, 100)) { try readControl() }
        }
    }

    private static var now: Int64 { Int64(Clock.unixMicroseconds() / 1_000_000) }

    private func looked(_ entry: Entry) -> Entry {
        var entry = entry
        let now = Self.now
        do {
            let staple = try entry.subject.file.map { try entry.subject.asked.read($0) } ?? ask(entry.subject)
            entry.update.staple = staple
            entry.update.failure = ""
            entry.failures = 0
            // A file is replaced with another one by whoever keeps it fresh; until then there is only its end to see.
            entry.due =
                entry.subject.file == nil
                ? StapleSchedule.next(after: staple, now: now) : max(staple.nextUpdate, now + 60)
        } catch {
            entry.failures += 1
            entry.update.failures += 1
            entry.update.failure = "\(error)"
            if let staple = entry.update.staple, staple.nextUpdate <= now { entry.update.staple = nil }
            entry.due =
                entry.subject.file == nil
                ? StapleSchedule.next(
                    failures: entry.failures,
                    staple: entry.update.staple,
                    isDemanded: entry.update.mustStaple,
                    now: now
                ) : Int64.max
        }
        return entry
    }

    /// Asks each responder that the certificate names until one gives an answer that holds.
    private func ask(_ subject: Subject) throws -> Staple {
        guard let request = subject.asked.request() else {
            throw Unanswerable("the chain does not hold the certificate's issuer: add it to the file")
        }
        var last: any Error = Unanswerable(
            "the certificate names no responder with http: \(subject.asked.addresses.joined(separator: " "))"
        )
        for responder in subject.responders {
            do {
                return try subject.asked.read(try responder.ask(request, milliseconds: Self.patience))
            } catch { last = Unanswerable("\(responder.host): \(error)") }
        }
        throw last
    }

    /// What earlier staplers have found: an answer that is still good need not be asked for at once.
    private mutating func readControl() throws {
        while let message = try channel.receive() {
            if message.kind == ControlKind.ping.rawValue { try channel.send(kind: ControlKind.pong.rawValue) }
            guard ControlKind(rawValue: message.kind) == .staple else { continue }
            let known = try StapleUpdate(decoding: message.payload)
            for index in entries.indices where entries[index].update.fingerprint == known.fingerprint {
                entries[index].update.failures = known.failures
                guard entries[index].subject.file == nil, let staple = known.staple, staple.nextUpdate > Self.now else {
                    continue
                }
                entries[index].update.staple = staple
                entries[index].due = StapleSchedule.next(after: staple, now: Self.now)
            }
        }
    }

    private struct Unanswerable: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }
}

extension Configuration {
    /// The certificates that bindings of sites and databases show.
    var shownCertificates: Set<String> {
        Set(
            sites.flatMap { $0.bindings.flatMap { $0.certificates.map(\.value) } }
                + databases.flatMap { $0.bindings.flatMap { $0.certificates.map(\.value) } }
        )
    }
}
