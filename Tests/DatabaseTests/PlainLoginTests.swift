import Database
import Testing

@Suite struct PlainLoginTests {
    private let nothing: [UInt8] = []

    private func answer(_ kind: ServerOpening.Kind, _ bytes: [UInt8], isEnd: Bool = false) -> PlainLogin.Step {
        var question = PlainLogin(kind, user: "auditor", catalog: "ehr")
        if kind != .mysql { _ = question.next(nothing.span, isEnd: false) }
        var step = question.next(bytes.span, isEnd: isEnd)
        if case .send = step { step = question.next(bytes.span, isEnd: isEnd) }
        return step
    }

    @Test func postgresSaysWhatItWouldDo() {
        #expect(answer(.postgres, [0x52, 0, 0, 0, 8, 0, 0, 0, 0]) == .accepts("it asks for no password at all"))
        #expect(
            answer(.postgres, [0x52, 0, 0, 0, 8, 0, 0, 0, 3]) == .accepts("it asks for the password in clear text")
        )
        let text = Array("SFATAL\0C28000\0Mno pg_hba.conf entry for host, no encryption\0\0".utf8)
        let refusal = [0x45, 0, 0, 0, UInt8(text.count + 4)] + text
        #expect(answer(.postgres, refusal) == .refuses("no pg_hba.conf entry for host, no encryption"))
        let other = Array("SFATAL\0C53300\0Mtoo many clients\0\0".utf8)
        #expect(
            answer(.postgres, [0x45, 0, 0, 0, UInt8(other.count + 4)] + other) == .unclear("53300 too many clients")
        )
    }

    @Test(
        arguments: [
            ("Mno pg_hba.conf entry\0Rsomething\0", "refuses"), ("Mkein Eintrag\0RClientAuthentication\0", "refuses"),
            ("MIdent authentication failed\0Rauth_failed\0", "accepts"), ("Mrole is not there\0", "unclear"),
        ]
    ) func postgresRefusesForManyReasons(fields: String, expected: String) {
        let text = Array("SFATAL\0C28000\0\(fields)\0".utf8)
        let step = answer(.postgres, [0x45, 0, 0, 0, UInt8(text.count + 4)] + text)
        #expect("\(step)".hasPrefix(expected), "\(step)")
    }

    @Test(arguments: [(2, false), (0, false), (1, true), (3, true)] as [(UInt8, Bool)])
    func tdsSaysWhetherItForcesEncryption(option: UInt8, refuses: Bool) {
        let payload: [UInt8] = [1, 0, 6, 0, 1, 0xFF, option]
        let packet = [4, 1, 0, UInt8(8 + payload.count), 0, 0, 0, 0] + payload
        switch answer(.tds, packet) {
        case .accepts: #expect(!refuses)
        case .refuses: #expect(refuses)
        default: Issue.record("unclear")
        }
    }

    @Test func mysqlIsAskedAfterItsGreeting() {
        var question = PlainLogin(.mysql, user: "auditor", catalog: "ehr")
        #expect(question.next(nothing.span, isEnd: false) == .read)
        let greeting: [UInt8] =
            [10] + Array("8.0\0".utf8) + [1, 0, 0, 0] + [UInt8](repeating: 65, count: 8) + [
                0, 0xFF, 0xFF, 45, 2, 0, 8, 0, 21,
            ]
            + [UInt8](repeating: 0, count: 10) + [UInt8](repeating: 66, count: 12) + [0]
            + Array("caching_sha2_password\0".utf8)
        let first = [UInt8(greeting.count), 0, 0, 0] + greeting
        guard case .send(let response) = question.next(first.span, isEnd: false) else {
            Issue.record("nothing is asked")
            return
        }
        // Protocol 4.1 without TLS.
        #expect(response[5] & 0x02 != 0 && response[5] & 0x08 == 0)
        #expect(question.next(first.span, isEnd: false) == .read)
        let asked = first + [2, 0, 0, 2, 0xFE, 0x00]
        guard case .unclear = question.next(asked.span, isEnd: false) else {
            Issue.record("what it asks for says nothing about encryption")
            return
        }
        let error = [0xFF, 0x57, 0x0C] + Array("#HY000Connections using insecure transport are prohibited".utf8)
        let refused = first + [UInt8(error.count), 0, 0, 2] + error
        guard case .refuses = question.next(refused.span, isEnd: false) else {
            Issue.record("error 3159 is a refusal")
            return
        }
    }

    @Test(arguments: ServerOpening.Kind.allCases)
    func toHangUpIsARefusal(kind: ServerOpening.Kind) {
        let said = "the server closed the connection"
        // MySQL greets before anything is asked: who hangs up then has refused nothing.
        #expect(answer(kind, [], isEnd: true) == (kind == .mysql ? .unclear(said) : .refuses(said)))
    }

    @Test(arguments: ServerOpening.Kind.allCases)
    func hostileBytesAreData(kind: ServerOpening.Kind) {
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0...64)).map { _ in UInt8.random(in: 0...255) }
            _ = answer(kind, bytes, isEnd: true)
        }
        #expect(answer(kind, [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) != .read)
    }
}
