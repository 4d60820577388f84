import ArgumentParser
import Evidence
import Platform

/// The everyhop that runs with a configuration, as commands see it.
struct RunningMaster {
    let config: String

    /// For how long a program that takes over may not listen yet, in microseconds.
    private static let patience: UInt64 = 30_000_000

    /// Prints the answer; a refusal, or nobody there, ends the command.
    func ask(_ request: ControlRequest, orElse complaint: String) throws {
        SignalDescriptor.ignoreBrokenPipes()
        let answer: ControlMessage
        do { answer = try lastingAnswer(to: request) } catch let taken as PlaceTaken {
            Complaint.write("everyhop: \(taken)")
            throw ExitCode(1)
        } catch let error as Errno where error.isRefusedConnection {
            Complaint.write("everyhop: no everyhop runs with the configuration \(config)")
            throw ExitCode(2)
        } catch {
            Complaint.write("everyhop: the running everyhop gave no answer: \(error)")
            throw ExitCode(1)
        }
        let text = String(decoding: answer.payload, as: UTF8.self)
        guard answer.kind == ControlAnswer.done.rawValue else {
            Complaint.write(text)
            Complaint.write("everyhop: \(complaint)")
            throw ExitCode(1)
        }
        print(text)
    }

    /// The answer of the program that takes over, where the one that was asked leaves.
    private func lastingAnswer(to request: ControlRequest) throws -> ControlMessage {
        var answer = try answer(to: request)
        let due = Clock.monotonicMicroseconds() + Self.patience
        while answer.kind == ControlAnswer.askNext.rawValue {
            // It begins to listen when the other one has let go of the name.
            _ = try Poller().wait(milliseconds: 100)
            do { answer = try self.answer(to: request) } catch let error as Errno
                where error.isRefusedConnection && Clock.monotonicMicroseconds() < due
            {}
        }
        return answer
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
    private func answer(to request: ControlRequest, milliseconds: UInt64? = nil) throws -> ControlMessage {
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
    private func dial() throws -> FileDescriptor {
        let descriptor = try AbstractSocket.connect(try ControlPlace.name(of: config))
        guard let peer = AbstractSocket.peer(of: descriptor) else { throw Errno.refused(in: "connect") }
        guard peer.isTrusted else { throw PlaceTaken(peer: peer) }
        return descriptor
    }
}

/// Somebody who is neither root nor this user listens where the running everyhop is asked.
struct PlaceTaken: Error, CustomStringConvertible {
    let peer: AbstractSocket.Peer

    var description: String {
        """
        the name at which the running everyhop is asked is held by user \(peer.user) (process \(peer.process)), who is \
        not asked for anything; until that ends, signals do: SIGHUP for a reload, SIGUSR2 for an upgrade
        """
    }
}
