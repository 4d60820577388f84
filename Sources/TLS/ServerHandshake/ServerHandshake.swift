import Bytes
import COpenSSL
import Glibc

/// A handshake on the accepting side: our own for plain hellos, and the library's for all others.
///
/// It reads the hello. If that is plain (`ClientHello`) and its binding can serve it (`HandshakeTerms`), the answer is built
/// here, with the library's cryptography and nothing else of it; if not, the library finds the hello unread and does
/// everything as if nobody had looked.
final class ServerHandshake {
    /// How far a step has come.
    enum Step {
        case wantsRead, wantsWrite
        case done
        /// Nothing has been said yet, and nothing was taken from the socket's input: the library's turn.
        case isForLibrary
    }

    /// A longer hello is rare, and would be kept as long as its client takes.
    private static let longestHello = 4096

    private enum Found { case nothing, record, end, notPlain }

    private let table: ServerNameTable
    private let socket: HandshakeSocket
    private(set) var answer: (any HandshakeAnswer)?
    private var output: [UInt8] = []
    private var sent = 0
    /// Nothing but what is due has to go out.
    private var isComplete = false

    init(_ table: ServerNameTable, _ socket: HandshakeSocket) {
        self.table = table
        self.socket = socket
    }

    /// Goes on as far as the socket allows.
    func step() throws(TLSError) -> Step {
        socket.isDrained = false
        while true {
            guard try flush() else { return .wantsWrite }
            if isComplete { return .done }
            switch try takeRecord() {
            case .notPlain: return .isForLibrary
            case .record: continue
            case .end:
                isComplete = true
                continue
            case .nothing: break
            }
            guard try receive() else { return .wantsRead }
        }
    }

    private func takeRecord() throws(TLSError) -> Found {
        do throws(HandshakeRefusal) {
            guard let answer else { return try greet() }
            guard let header = socket.waitingHeader else { return .nothing }
            let length = try answer.check(header)
            guard socket.waitingCount >= length else { return .nothing }
            let record = socket.copy(0..<length)
            socket.consume(length)
            let isComplete = try answer.take(header, record)
            output = answer.takeOutput()
            return isComplete ? .end : .record
        } catch { throw refuse(error) }
    }

    /// Looks at the hello, which is one record's only message, or not plain.
    private func greet() throws(HandshakeRefusal) -> Found {
        let messageHead = 4
        guard let type = socket.copy(0..<1).first else { return .nothing }
        guard type == RecordType.handshake else { return .notPlain }
        guard let header = socket.waitingHeader else { return .nothing }
        guard header.version >> 8 == 3, messageHead...Self.longestHello ~= header.length else { return .notPlain }
        let length = RecordHeader.size + header.length
        guard socket.waitingCount >= length else { return .nothing }
        guard let hello = ClientHello(socket.copy(RecordHeader.size..<length)),
            let terms = HandshakeTerms(hello, table),
            let answer = try Self.answer(terms)
        else {
            everyhop_forget_errors()
            return .notPlain
        }
        self.answer = answer
        output = answer.takeOutput()
        socket.consume(length)
        return .record
    }

    private static func answer(_ terms: HandshakeTerms) throws(HandshakeRefusal) -> (any HandshakeAnswer)? {
        terms.isModern ? try ModernAnswer(terms) : OlderAnswer(terms)
    }

    // MARK: the socket

    /// Whether all of what is due has gone out.
    private func flush() throws(TLSError) -> Bool {
        while sent < output.count {
            let start = sent
            let outcome = output.withUnsafeBufferPointer {
                socket.transmit(UnsafeBufferPointer(rebasing: $0[start...]))
            }
            switch outcome {
            case .bytes(let count): sent += count
            case .again: return false
            case .failed: throw .socket(errno)
            }
        }
        output = []
        sent = 0
        return true
    }

    /// Whether something has come.
    private func receive() throws(TLSError) -> Bool {
        if socket.isDrained { return false }
        switch socket.fill() {
        case .bytes: return true
        case .again: return false
        case .failed:
            let code = errno
            throw code == 0 ? .closed : .socket(code)
        }
    }

    /// Tells the client why, as far as the socket takes it now.
    private func refuse(_ refusal: HandshakeRefusal) -> TLSError {
        if let alert = refusal.alert {
            let record = answer?.alert(alert) ?? RecordHeader.plainRecord(RecordType.alert, [2, alert.rawValue])
            _ = record.withUnsafeBufferPointer { socket.transmit($0) }
        }
        everyhop_forget_errors()
        return refusal.error
    }

    // MARK: the end

    /// Who carries the traffic; once, when the handshake is done.
    func takeOver() throws(TLSError) -> RecordLayer {
        guard let answer, let start = answer.start(socket.secrets) else {
            throw .libraryFailure("the keys of the traffic")
        }
        var records = RecordLayer(start, socket)
        try records.announce(answer.lastMessage())
        return records
    }

    var facts: TLSFacts? { answer.map { $0.terms.facts(resumed: $0.isResumed) } }
}
