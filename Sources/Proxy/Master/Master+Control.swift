import Bytes
import Config
import Evidence
import Logging
import Platform
import TLS

/// What commands of this program ask a running master; others may follow.
enum ControlRequest: UInt8 {
    /// Load the configuration again, and say how that ended.
    case reload = 1
    /// Change to another program, and say how that ended.
    case upgrade = 50
    /// Tell what children told of their sandboxes.
    case sandboxes = 60
}

/// What the master answers, with text for people.
enum ControlAnswer: UInt8 {
    /// What was asked for is done.
    case done = 1
    /// It is not, and why.
    case refused
    /// Another program is about to take over: that one has to be asked.
    case askNext
}

/// The place at which the master of a configuration is asked.
enum ControlPlace {
    /// A name in the abstract namespace: one for each configuration file, whichever way its folder is named.
    static func name(of file: String) throws(Errno) -> String {
        let slash = file.lastIndex(of: "/")
        let folder = slash.map { $0 == file.startIndex ? "/" : String(file[..<$0]) } ?? "."
        let name = slash.map { String(file[file.index(after: $0)...]) } ?? file
        return "everyhop/\(SHA256.hexadecimal(Array("\(try File.absolutePath(folder))/\(name)".utf8)))"
    }
}

/// A command that asks something.
final class ControlClient {
    var channel: ControlChannel
    var token: Token?
    /// When it has to have asked, or to have taken the answer.
    var due: UInt64?

    init(_ descriptor: consuming FileDescriptor, due: UInt64) {
        channel = ControlChannel(descriptor)
        self.due = due
    }
}

/// Where commands ask.
struct ControlState {
    final class Listener {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    static let mostClients = 32
    static let patience: UInt64 = 5000

    var listener: Listener?
    /// When to try again to listen; another program may have the name.
    var retry: UInt64?
    var hasComplained = false
    var clients: [ControlClient] = []
    /// What other users were told.
    var strangers = RepeatedLines()
}

/// Commands such as `everyhop reload` ask the master over a unix socket.
extension Master {
    /// Begins to listen; only root and the master's own user are heard.
    func startControl() {
        control.retry = nil
        do {
            let listener = ControlState.Listener(try AbstractSocket.listen(try ControlPlace.name(of: file)))
            try poller.add(listener.descriptor, handlers.insert(.controlListener), .read)
            control.listener = listener
        } catch {
            // The program before this one may still have it.
            control.retry = Self.now + 1000
            if !control.hasComplained { log.warning("commands such as `everyhop reload` cannot ask yet: \(error)") }
            control.hasComplained = true
        }
    }

    /// When something about commands is due.
    var nextControl: UInt64? { (control.clients.compactMap(\.due) + (control.retry.map { [$0] } ?? [])).min() }

    func tendControl(_ now: UInt64) {
        if let retry = control.retry, now >= retry { startControl() }
        for client in control.clients { if let due = client.due, now >= due { close(client) } }
    }

    func acceptControl() {
        guard let listener = control.listener else { return }
        // Who goes on knocking is heard in the next turn.
        for _ in 0..<ControlState.mostClients {
            guard let accepted = try? Socket.accept(from: listener.descriptor) else { return }
            let descriptor = accepted.takeDescriptor()
            guard let peer = AbstractSocket.peer(of: descriptor), peer.isTrusted else {
                turnAway(descriptor)
                continue
            }
            guard control.clients.count < ControlState.mostClients else { continue }
            let client = ControlClient(descriptor, due: Self.now + ControlState.patience)
            let token = handlers.insert(.control(client))
            client.token = token
            control.clients.append(client)
            do { try poller.add(client.channel.descriptor, token, .read) } catch { close(client) }
        }
    }

    /// Anybody may dial: they are told, and the log is, as often as it helps.
    private func turnAway(_ descriptor: consuming FileDescriptor) {
        let user = AbstractSocket.peer(of: descriptor)?.user
        var channel = ControlChannel(descriptor)
        let name = user.map(String.init) ?? "unknown"
        let answer = "user \(name) may not command this everyhop: its own user and root may"
        // It has just dialled, so there is room for a line; whoever has gone needs none.
        try? channel.send(kind: ControlAnswer.refused.rawValue, Array(answer.utf8))
        let line = "a command of another user was not heard"
        guard let before = control.strangers.admit(line, now: Self.now / 1000) else { return }
        var metadata: Logger.Metadata = user.map { ["user": "\($0)"] } ?? [:]
        if before > 0 { metadata["left out"] = "\(before)" }
        log.warning("\(line)", metadata: metadata)
    }

    func readControl(_ client: ControlClient) {
        do {
            try client.channel.flush()
            var turn = ControlChannel.Turn()
            while let message = try client.channel.receive(within: &turn) {
                take(ControlRequest(rawValue: message.kind), client)
            }
            if turn.isOver { comeBack(to: client.token) }
            watch(client)
        } catch { close(client) }
    }

    private func take(_ request: ControlRequest?, _ client: ControlClient) {
        guard let token = client.token else { return }
        client.due = nil
        switch request {
        case .reload where isStopping: answer(token, .refused("it is stopping"), "")
        case .reload where hasHandedOver: answer(token, .left, "")
        case .reload:
            log.notice("a reload is asked for by a command")
            changes.waiting.append(token)
            reload()
        case .upgrade:
            log.notice("an upgrade is asked for by a command")
            if let refusal = upgradeRefusal {
                answer(token, .refused(refusal), "")
            } else {
                upgradeAsking.append(token)
                upgrade()
            }
        case .sandboxes:
            let told = try? ConfinedProcess.json(confined)
            answer(token, told.map { .done(String(decoding: $0, as: UTF8.self)) } ?? .refused("it cannot be told"), "")
        case nil: answer(token, .refused("this version does not know what is asked"), "")
        }
    }

    /// Tells a command how it has ended; the command may be gone.
    func answer(_ token: Token, _ outcome: ReloadOutcome, _ findings: String) {
        guard case .control(let client) = handlers[token] else { return }
        let (kind, text) =
            switch outcome {
            case .done(let how): (ControlAnswer.done, findings + how)
            case .refused(let why): (ControlAnswer.refused, why)
            case .left: (ControlAnswer.askNext, "another program takes over: ask that one")
            }
        client.due = Self.now + ControlState.patience
        do {
            try client.channel.send(kind: kind.rawValue, Array(text.utf8))
            watch(client)
        } catch { close(client) }
    }

    private func watch(_ client: ControlClient) {
        guard let token = client.token else { return }
        try? poller.change(client.channel.descriptor, token, client.channel.hasOutgoing ? [.read, .write] : .read)
    }

    private func close(_ client: ControlClient) {
        if let token = client.token { handlers.remove(token) }
        poller.remove(client.channel.descriptor)
        control.clients.removeAll { $0 === client }
    }
}
