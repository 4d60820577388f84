import ArgumentParser
import Evidence
import Platform

/// The everyhop that runs with a configuration, as commands see it.
struct RunningMaster {
    let config: String

    /// Prints the answer; a refusal, or nobody there, ends the command.
    func ask(_ request: ControlRequest, orElse complaint: String) throws {
        SignalDescriptor.ignoreBrokenPipes()
        let answer: ControlMessage
        do throws(Errno) { answer = try self.answer(to: request) } catch {
            guard !error.isNotPermitted else {
                Complaint.write("everyhop: the one with \(config) runs as another user: ask as it or as root")
                throw ExitCode(1)
            }
            guard error.isRefusedConnection else {
                Complaint.write("everyhop: the running everyhop gave no answer: \(error)")
                throw ExitCode(1)
            }
            Complaint.write("everyhop: no everyhop runs with the configuration \(config)")
            throw ExitCode(2)
        }
        let text = String(decoding: answer.payload, as: UTF8.self)
        guard answer.kind == ControlAnswer.done.rawValue else {
            Complaint.write(text)
            Complaint.write("everyhop: \(complaint)")
            throw ExitCode(1)
        }
        print(text)
    }

    /// What its processes told of their sandboxes.
    ///
    /// - Parameter milliseconds: how long it may take to answer.
    func sandboxes(milliseconds: UInt64) -> ProcessAudit.Told {
        do {
            let answer = try answer(to: .sandboxes, milliseconds: milliseconds)
            guard answer.kind == ControlAnswer.done.rawValue else {
                return .unknown(reason: String(decoding: answer.payload, as: UTF8.self))
            }
            return .processes(try ConfinedProcess.read(json: answer.payload))
        } catch {
            return .unknown(reason: "the running everyhop gave no answer: \(error)")
        }
    }

    /// - Parameter milliseconds: how long it may take to answer; nil for as long as it wants.
    private func answer(to request: ControlRequest, milliseconds: UInt64? = nil) throws(Errno) -> ControlMessage {
        var channel = ControlChannel(try dial())
        do throws(Errno) {
            try channel.send(kind: request.rawValue)
            try channel.flushWaiting()
            if let milliseconds, try !channel.waitForMaster(milliseconds: milliseconds) {
                throw Errno.timedOut(in: "poll")
            }
        } catch {
            // Whom it does not hear, it tells why before it hangs up.
            guard error.isGone else { throw error }
        }
        return try channel.receiveWaiting()
    }

    /// Whoever listens may be somebody else: only root and this user are asked.
    ///
    /// - Throws: what `isNotPermitted` is true of, if it is another one.
    private func dial() throws(Errno) -> FileDescriptor {
        let descriptor = try AbstractSocket.connect(try ControlPlace.name(of: config))
        guard AbstractSocket.peer(of: descriptor)?.isTrusted == true else { throw Errno.notPermitted(in: "connect") }
        return descriptor
    }
}
