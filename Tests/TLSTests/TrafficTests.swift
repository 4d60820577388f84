import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

@Suite("Traffic") struct TrafficTests {
    private let root: Authority
    private let table: ServerNameTable
    /// Its connections are carried by our own records.
    private let ownTable: ServerNameTable
    private let recordsTable: ServerNameTable

    init() throws {
        root = try Authority()
        table = try makeTable([try root.identity()], shakesHands: false)
        recordsTable = try makeTable([try root.identity()], shakesHands: false)
        revealKeys(of: recordsTable)
        ownTable = try makeTable([try root.identity()])
    }

    private func makeLink(_ carrier: Carrier) throws -> Link {
        let client = try makeClient(root, version: carrier.version)
        if carrier.isOwn { revealKeys(of: client.handle.raw) }
        return try Link(client, carrier.shakesHands ? ownTable : carrier.isOwn ? recordsTable : table)
    }

    /// A link that has shaken hands, and whose client has read what follows (session tickets).
    private func open(_ carrier: Carrier = .own13) throws -> Link {
        let link = try makeLink(carrier)
        #expect(try link.shakeHands().isDone)
        #expect(link.clientCarriesItself == carrier.isOwn && link.serverCarriesItself == carrier.isOwn)
        #expect(try read(link).0 == .wantsRead)
        return link
    }

    /// Reads once on the client's side.
    private func read(_ link: Link) throws -> (ReadOutcome, [UInt8]) {
        var queue = link.queue()
        let outcome = try link.client.read(into: &queue)
        return (outcome, take(&queue))
    }

    @Test(arguments: Carrier.allCases) func `megabytes pass both ways through full sockets`(_ carrier: Carrier) throws {
        let link = try open(carrier)
        var state: UInt32 = 7
        let data = (0..<3_000_000).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(truncatingIfNeeded: state >> 24)
        }
        #expect(try link.upload(data) == data)
        #expect(try link.download(data) == data)
    }

    @Test(arguments: Carrier.allCases)
    func `a full socket is no error, and what was refused is taken later from other memory`(_ carrier: Carrier) throws {
        let link = try open(carrier)
        let data = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 / 251) }
        var sent = 0
        while case .bytes(let count) = try link.server.write(data.span.extracting(sent..<data.count)) { sent += count }
        #expect(sent > 0 && sent < data.count)
        #expect(try link.server.write(data.span.extracting(sent..<data.count)) == .wantsWrite)
        var got: [UInt8] = []
        for _ in 0..<100_000 where got.count < data.count {
            let (outcome, bytes) = try read(link)
            got += bytes
            guard outcome == .wantsRead, sent < data.count else { continue }
            // A copy, longer than before or equal, as a queue that has moved would give it.
            let rest = Array(data[sent...])
            if case .bytes(let count) = try link.server.write(rest.span) { sent += count }
        }
        #expect(got == data)
    }

    @Test(arguments: Carrier.allCases) func `an empty write does nothing`(_ carrier: Carrier) throws {
        let link = try open(carrier)
        #expect(try link.server.write([UInt8]().span) == .bytes(0))
        #expect(try read(link).0 == .wantsRead)
    }

    // MARK: ends

    @Test(arguments: Carrier.allCases) func `an announced end is an end, after what came before it`(_ carrier: Carrier)
        throws
    {
        let link = try open(carrier)
        #expect(try link.server.write("last words".bytes.span) == .bytes(10))
        link.server.shutdown()
        Glibc.shutdown(link.serverSocket.raw, CInt(SHUT_WR))
        #expect(try read(link).1 == "last words".bytes)
        #expect(try read(link).0 == .closed)
        #expect(try read(link).0 == .closed)
    }

    @Test(arguments: Carrier.allCases) func `an end without announcement is a truncation`(_ carrier: Carrier) throws {
        let link = try open(carrier)
        #expect(try link.server.write("half a mess".bytes.span) == .bytes(11))
        Glibc.shutdown(link.serverSocket.raw, CInt(SHUT_WR))
        #expect(try read(link).1 == "half a mess".bytes)
        #expect(try read(link).0 == .truncated)
        #expect(throws: TLSError.closed) { try link.client.write([1].span) }
    }

    @Test(arguments: Carrier.allCases) func `the other direction lives on after an announced end`(_ carrier: Carrier)
        throws
    {
        let link = try open(carrier)
        link.client.shutdown()
        // Announced once: a second time would wait for the peer, and stumble over its data.
        link.client.shutdown()
        var queue = link.queue()
        #expect(try link.server.read(into: &queue) == .closed)
        #expect(try link.server.write("still here".bytes.span) == .bytes(10))
        link.client.shutdown()
        #expect(try read(link).1 == "still here".bytes)
    }

    @Test(arguments: Carrier.allCases) func `a peer that is gone is an error, not a signal`(_ carrier: Carrier) throws {
        let link = try open(carrier)
        // Unread bytes make the kernel reset the connection.
        #expect(try link.client.write([1, 2, 3].span) == .bytes(3))
        let nowhere = Glibc.open("/dev/null", O_RDWR)
        dup2(nowhere, link.serverSocket.raw)
        close(nowhere)
        #expect(throws: TLSError.socket(ECONNRESET)) { try read(link) }
        #expect(throws: TLSError.socket(ECONNRESET)) { try link.client.write([1].span) }
        let other = try open(carrier)
        Glibc.shutdown(other.clientSocket.raw, CInt(SHUT_RDWR))
        #expect(throws: TLSError.socket(EPIPE)) { try other.client.write([1].span) }
    }

    @Test(arguments: Carrier.allCases) func `a damaged record is an error, and the connection stays broken`(
        _ carrier: Carrier
    ) throws {
        let link = try open(carrier)
        // A record of application data that no key has sealed.
        let record: [UInt8] = [23, 3, 3, 0, 32] + [UInt8](repeating: 9, count: 32)
        #expect(Glibc.write(link.serverSocket.raw, record, record.count) == record.count)
        let isPlain = carrier.version == TLS1_2_VERSION && !carrier.isOwn
        let error = TLSError.handshake(isPlain ? "cipher operation failed" : "decryption failed or bad record mac")
        #expect(throws: error) { try read(link) }
        #expect(throws: error) { try read(link) }
        #expect(throws: error) { try link.client.write([1].span) }
        link.client.shutdown()
    }

    // MARK: pending bytes

    @Test(arguments: Carrier.allCases) func `several records in one read of the socket are pending until read`(
        _ carrier: Carrier
    )
        throws
    {
        let link = try open(carrier)
        for text in ["one", "two", "three"] { _ = try link.server.write(text.bytes.span) }
        #expect(try read(link).1 == "one".bytes)
        // The socket is empty now: epoll would never tell.
        var byte: UInt8 = 0
        #expect(recv(link.clientSocket.raw, &byte, 1, CInt(MSG_PEEK)) == -1 && errno == EAGAIN)
        #expect(link.hasPending)
        #expect(try read(link).1 == "two".bytes)
        #expect(link.hasPending)
        #expect(try read(link).1 == "three".bytes)
        #expect(!link.hasPending)
        #expect(try read(link).0 == .wantsRead)
    }

    @Test(arguments: Carrier.allCases)
    func `a record that comes byte by byte is not pending, so that nobody spins on it`(
        _ carrier: Carrier
    ) throws {
        let link = try open(carrier)
        #expect(try link.server.write("slowly".bytes.span) == .bytes(6))
        var record = [UInt8](repeating: 0, count: 1024)
        let count = recv(link.clientSocket.raw, &record, record.count, 0)
        #expect(count > 20)
        for index in 0..<count {
            #expect(Glibc.write(link.serverSocket.raw, [record[index]], 1) == 1)
            let (outcome, bytes) = try read(link)
            if index + 1 < count {
                #expect(outcome == .wantsRead)
                #expect(!link.hasPending)
            } else {
                #expect(outcome == .bytes(6))
                #expect(bytes == "slowly".bytes)
            }
        }
    }

    /// A short read has emptied the socket, so its end takes another one: who knows of it has to ask once more.
    @Test(arguments: Carrier.allCases) func `the end behind half a record is found by the second read`(
        _ carrier: Carrier
    ) throws {
        let link = try open(carrier)
        let half: [UInt8] = [23, 3, 3, 0, 200] + [UInt8](repeating: 1, count: 100)
        #expect(Glibc.write(link.serverSocket.raw, half, half.count) == half.count)
        Glibc.shutdown(link.serverSocket.raw, CInt(SHUT_WR))
        #expect(try read(link).0 == .wantsRead)
        #expect(!link.hasPending)
        #expect(try read(link).0 == .truncated)
    }

    /// In TLS 1.2 the server says the last word.
    @Test(arguments: Carrier.allCases.filter { $0.version == TLS1_3_VERSION })
    func `data that comes with the client's last handshake message is pending`(_ carrier: Carrier) throws {
        let link = try makeLink(carrier)
        while Link.step(&link.client).0 { _ = Link.step(&link.server) }
        // The client is done, the server has not yet read its last message: both arrive in one piece.
        #expect(try link.client.write("early bird".bytes.span) == .bytes(10))
        #expect(Link.step(&link.server) == (false, nil))
        #expect(link.serverHasPending)
        var queue = link.queue()
        #expect(try link.server.read(into: &queue) == .bytes(10))
    }

    // MARK: whose fault

    @Test func `an error that something else left behind is blamed on no connection`() throws {
        let link = try Link(try makeClient(root), table)
        /// Leaves an error on this thread, as a failed call of the library does.
        func leaveError() {
            let bio = BIO_new(BIO_s_mem())
            #expect(PEM_read_bio_X509(bio, nil, nil, nil) == nil)
            BIO_free(bio)
            #expect(ERR_peek_error() != 0)
        }
        leaveError()
        while true {
            let (clientGoesOn, clientError) = Link.step(&link.client)
            leaveError()
            let (serverGoesOn, serverError) = Link.step(&link.server)
            leaveError()
            #expect(clientError == nil && serverError == nil)
            if !clientGoesOn && !serverGoesOn || clientError != nil || serverError != nil { break }
        }
        leaveError()
        #expect(try read(link).0 == .wantsRead)
        let much = [UInt8](repeating: 1, count: 1_000_000)
        var outcome = WriteOutcome.bytes(0)
        while case .bytes = outcome {
            leaveError()
            outcome = try link.client.write(much.span)
        }
        #expect(outcome == .wantsWrite)
        leaveError()
        link.client.shutdown()
        ERR_clear_error()
    }

    @Test func `a failure leaves nothing behind`() throws {
        ERR_clear_error()
        let client = try makeClient(pins: [try root.identity().facts.pin])
        #expect(try Link(client, table).shakeHands().client != nil)
        #expect(ERR_peek_error() == 0)
        #expect(throws: CertificateError.self) { try CertificateFacts.read(pem: "junk".bytes) }
        #expect(throws: CertificateError.self) { try PFX.read("junk".bytes, password: []) }
        #expect(throws: CertificateError.self) { try ServerIdentity(chainPEM: root.pem, keyPEM: "junk".bytes) }
        #expect(ERR_peek_error() == 0)
        let link = try open()
        Glibc.shutdown(link.serverSocket.raw, CInt(SHUT_WR))
        #expect(try read(link).0 == .truncated)
        #expect(ERR_peek_error() == 0)
    }

    @Test func `no error waits after contexts have been made`() throws {
        ERR_clear_error()
        _ = try makeTable([try root.identity(), try root.identity(key: .rsa)], policy: .modern)
        _ = try makeClient(root)
        #expect(ERR_peek_error() == 0)
    }

    @Test func `nothing can be sent before the handshake is over`() throws {
        let link = try Link(try makeClient(root), table)
        #expect(throws: TLSError.library("traffic before the end of the handshake")) {
            try link.client.write([1].span)
        }
        var queue = link.queue()
        #expect(throws: TLSError.library("traffic before the end of the handshake")) {
            try link.server.read(into: &queue)
        }
        link.client.shutdown()
        #expect(try link.shakeHands().isDone)
    }
}
