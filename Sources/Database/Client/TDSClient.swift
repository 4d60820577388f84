/// A client of SQL Server from 2008 on (TDS 7.3, 7.4 and 8.0): LOGIN7, then SQL batches.
public struct TDSClient: Sendable {
    private enum State: Equatable {
        /// TDS 8.0 says PRELOGIN inside TLS. Next: awaitingAnswer.
        case introducing
        /// Its answer. Next: loggingIn.
        case awaitingIntroduction
        /// LOGIN7 is to be sent. Next: awaitingLogin.
        case loggingIn
        /// Next: ready, ended.
        case awaitingLogin
        /// Next: asking.
        case ready
        /// A batch is to be sent. Next: awaitingAnswer.
        case asking(String)
        /// Next: ready, ended.
        case awaitingAnswer
        case ended(ClientStep)
    }

    private let login: ClientLogin
    private let isStrict: Bool
    private var state: State
    private var packetSize = TDSPacket.mostBeforeLogin

    /// Begins when TLS stands.
    ///
    /// - Parameter isStrict: TDS 8.0, where TLS came before everything.
    public init(_ login: ClientLogin, isStrict: Bool) {
        self.login = login
        self.isStrict = isStrict
        state = isStrict ? .introducing : .loggingIn
    }

    mutating func next(_ server: Span<UInt8>) -> ClientTurn {
        switch state {
        case .introducing:
            state = .awaitingIntroduction
            let question = PreLogin(version: [15, 0, 0, 0, 0, 0], .strict)
            return ClientTurn(.send(TDSPacket.packets(TDSPacket.prelogin, question.payload)))
        case .awaitingIntroduction: return take(server, limit: TDSPacket.mostBeforeLogin) { $0.meet($1) }
        case .loggingIn: return sendLogin()
        case .awaitingLogin: return take(server, limit: 65_536) { $0.enter($1) }
        case .ready: return ClientTurn(.ready)
        case .asking(let statement):
            state = .awaitingAnswer
            return ClientTurn(.send(TDSPacket.packets(TDSPacket.batch, Self.batch(statement), packetSize: packetSize)))
        case .awaitingAnswer: return take(server, limit: DatabaseClient.mostBytes) { $0.tell($1) }
        case .ended(let step): return ClientTurn(step)
        }
    }

    mutating func ask(_ statement: String) { if state == .ready { state = .asking(statement) } }

    private mutating func take(
        _ server: Span<UInt8>,
        limit: Int,
        _ handle: (inout TDSClient, [UInt8]) -> ClientStep
    ) -> ClientTurn {
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(server, limit: limit) else { return ClientTurn(.read) }
            guard message.type == TDSPacket.tabularResult else { throw TDSPacket.Malformed(reason: "no answer") }
            return ClientTurn(handle(&self, message.payload), used: message.size)
        } catch { return ClientTurn(end(.failed("the server sent \(error.reason)"))) }
    }

    private mutating func meet(_ payload: [UInt8]) -> ClientStep {
        guard (try? PreLogin(payload)) != nil else { return end(.failed("the server sent a malformed PRELOGIN")) }
        state = .loggingIn
        return .proceed
    }

    private mutating func sendLogin() -> ClientTurn {
        guard let message = Login7.message(login, isStrict: isStrict) else {
            return ClientTurn(end(.failed("the user or the password is longer than 128 characters")))
        }
        state = .awaitingLogin
        return ClientTurn(.send(TDSPacket.packets(TDSPacket.login7, message)))
    }

    private mutating func enter(_ payload: [UInt8]) -> ClientStep {
        do throws(TDSAnswer.Failure) {
            let answer = try TDSAnswer(payload)
            if let error = answer.error { return end(.refused(error)) }
            if let route = answer.route {
                // Whoever followed it would leave the server that is verified.
                return end(.failed("the server redirects to \(route); name that server in a [[database]] of its own"))
            }
            guard let version = answer.version else {
                return end(.failed("the server wants another kind of login than user and password"))
            }
            guard TDSVersion.isWide(version) else {
                return end(.failed("the server is older than SQL Server 2008, which has no encryption at rest"))
            }
            packetSize = answer.packetSize ?? packetSize
            state = .ready
            return .proceed
        } catch { return end(.failed("the server sent \(error.reason)")) }
    }

    private mutating func tell(_ payload: [UInt8]) -> ClientStep {
        do throws(TDSAnswer.Failure) {
            let answer = try TDSAnswer(payload)
            state = .ready
            return answer.error.map { .refused($0) } ?? .answer(answer.results)
        } catch { return end(.failed("the server sent \(error.reason)")) }
    }

    private mutating func end(_ step: ClientStep) -> ClientStep {
        state = .ended(step)
        return step
    }

    /// SQLBatch (MS-TDS 2.2.6.7): from 7.2 on behind ALL_HEADERS, of which one tells the transaction: none.
    private static func batch(_ statement: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(22, count: 4)
        bytes.appendLittleEndian(18, count: 4)
        bytes.appendLittleEndian(2, count: 2)
        bytes.appendLittleEndian(0, count: 8)
        bytes.appendLittleEndian(1, count: 4)
        return bytes + UTF16LE.bytes(statement)
    }
}

extension Login7 {
    /// LOGIN7 of a client that asks for nothing special; nil for texts that it has no room for.
    static func message(_ login: ClientLogin, isStrict: Bool) -> [UInt8]? {
        let password = Array(String(decoding: login.password, as: UTF8.self).utf16)
        guard login.user.utf16.count <= 128, password.count <= 128, login.database?.utf16.count ?? 0 <= 128 else {
            return nil
        }
        // Obfuscated, not encrypted (MS-TDS 2.2.6.4): the halves of each byte change places, then XOR 0xA5.
        let hidden = password.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
            .map { ($0 << 4 | $0 >> 4) ^ 0xA5 }
        let program = UTF16LE.bytes("everyhop")
        let texts = [
            [], UTF16LE.bytes(login.user), hidden, program, [], [], program, [], UTF16LE.bytes(login.database ?? ""),
        ]
        var places: [UInt8] = []
        var data: [UInt8] = []
        let headSize = 94
        func place(_ bytes: [UInt8]) {
            places.appendLittleEndian(headSize + data.count, count: 2)
            places.appendLittleEndian(bytes.count / 2, count: 2)
            data += bytes
        }
        for text in texts { place(text) }
        // ClientID, then SSPI, AtchDBFile and ChangePassword, of which there is none, and the long length of SSPI.
        places += [2, 0, 0, 0, 0, 1]
        for _ in 0..<3 { place([]) }
        places.appendLittleEndian(0, count: 4)
        var head: [UInt8] = []
        head.appendLittleEndian(headSize + data.count, count: 4)
        head += isStrict ? [0, 0, 0, 8] : [4, 0, 0, 0x74]
        head.appendLittleEndian(TDSPacket.mostBeforeLogin, count: 4)
        head += [0, 0, 0, 1] + [UInt8](repeating: 0, count: 8)
        // Warn about USE and SET LANGUAGE; ANSI settings as ODBC has them; SQL; no feature.
        head += [0xE0, 0x03, 0, 0] + [UInt8](repeating: 0, count: 8)
        return head + places + data
    }
}
