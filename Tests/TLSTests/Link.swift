import Bytes
import COpenSSL
import Glibc
import Platform

@testable import TLS

/// Both ends of one connection in one thread, over a pair of non-blocking sockets.
final class Link {
    var client: TLSConnection
    var server: TLSConnection
    let clientSocket: FileDescriptor
    let serverSocket: FileDescriptor
    private let pool = BufferPool(keep: 4)

    /// How the handshake ended on each side; nil is success.
    struct Outcome {
        var client: TLSError?
        var server: TLSError?
        var isDone: Bool { client == nil && server == nil }
    }

    init(_ context: ClientContext, _ table: ServerNameTable, endpoint: Int = 0) throws {
        let pair = try SocketPair()
        client = try TLSConnection(connecting: context, endpoint: endpoint, descriptor: pair.first)
        server = try TLSConnection(accepting: table, descriptor: pair.second)
        clientSocket = FileDescriptor(owning: pair.first)
        serverSocket = FileDescriptor(owning: pair.second)
    }

    /// Makes a link, shakes hands, and lets the client read what follows (session tickets).
    static func open(_ context: ClientContext, _ table: ServerNameTable, endpoint: Int = 0) throws -> Link {
        let link = try Link(context, table, endpoint: endpoint)
        let outcome = try link.shakeHands()
        if let error = outcome.client ?? outcome.server { throw error }
        var queue = link.queue()
        _ = try link.client.read(into: &queue)
        return link
    }

    // What #expect can look at, which a non-copyable value is not.
    var clientFacts: TLSFacts? { client.facts }
    var serverFacts: TLSFacts? { server.facts }
    var seenCertificates: [CertificateFacts] { client.peerCertificates() }

    var clientCarriesItself: Bool { client.carriesItself }
    var serverCarriesItself: Bool { server.carriesItself }

    var hasPending: Bool { client.hasPending }
    var serverHasPending: Bool { server.hasPending }

    func queue() -> ByteQueue { ByteQueue(pool: pool) }

    /// Steps both sides until each is done or has failed.
    func shakeHands() throws -> Outcome {
        var outcome = Outcome()
        var clientGoesOn = true
        var serverGoesOn = true
        for _ in 0..<100 where clientGoesOn || serverGoesOn {
            if clientGoesOn {
                (clientGoesOn, outcome.client) = Self.step(&client)
                if outcome.client != nil { Glibc.shutdown(clientSocket.raw, CInt(SHUT_WR)) }
            }
            if serverGoesOn {
                (serverGoesOn, outcome.server) = Self.step(&server)
                if outcome.server != nil { Glibc.shutdown(serverSocket.raw, CInt(SHUT_WR)) }
            }
        }
        if clientGoesOn || serverGoesOn { throw Stuck() }
        return outcome
    }

    /// One step: whether there is more to do, and what went wrong.
    static func step(_ end: inout TLSConnection) -> (Bool, TLSError?) {
        do throws(TLSError) {
            switch try end.handshake() {
            case .done: return (false, nil)
            case .wantsRead, .wantsWrite: return (true, nil)
            }
        } catch { return (false, error) }
    }

    /// Sends from the client and takes what the server reads, until all has come.
    func upload(_ bytes: [UInt8]) throws -> [UInt8] { try Self.carry(bytes, &client, &server, queue()) }

    /// Sends from the server and takes what the client reads, until all has come.
    func download(_ bytes: [UInt8]) throws -> [UInt8] { try Self.carry(bytes, &server, &client, queue()) }

    private static func carry(
        _ bytes: [UInt8],
        _ from: inout TLSConnection,
        _ into: inout TLSConnection,
        _ queue: consuming ByteQueue
    ) throws -> [UInt8] {
        var queue = queue
        var got: [UInt8] = []
        var sent = 0
        var idle = 0
        while got.count < bytes.count && idle < 10 {
            idle += 1
            if sent < bytes.count, case .bytes(let count) = try from.write(bytes.span.extracting(sent..<bytes.count)) {
                sent += count
                idle = 0
            }
            while case .bytes = try into.read(into: &queue) {
                got += take(&queue)
                idle = 0
            }
        }
        return got
    }
}

/// Empties a queue.
func take(_ queue: inout ByteQueue) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(queue.count)
    for index in queue.bytes.indices { bytes.append(queue.bytes[index]) }
    queue.removeAll()
    return bytes
}

/// The two sides wait for each other.
struct Stuck: Error {}

/// Two connected non-blocking sockets; whoever takes the numbers closes them.
struct SocketPair {
    let first: CInt
    let second: CInt

    init() throws {
        signal(SIGPIPE, SIG_IGN)
        var pair: [CInt] = [-1, -1]
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else { throw Errno(in: "socketpair") }
        (first, second) = (pair[0], pair[1])
    }
}

/// A server end whose peer is the test itself, byte by byte.
final class BareServer {
    var tls: TLSConnection
    let peer: FileDescriptor
    private let socket: FileDescriptor

    init(_ table: ServerNameTable) throws {
        let pair = try SocketPair()
        tls = try TLSConnection(accepting: table, descriptor: pair.second)
        socket = FileDescriptor(owning: pair.second)
        peer = FileDescriptor(owning: pair.first)
    }

    func send(_ bytes: [UInt8]) { _ = Glibc.write(peer.raw, bytes, bytes.count) }

    var isUnestablished: Bool { tls.facts == nil }

    func end() { Glibc.shutdown(peer.raw, CInt(SHUT_WR)) }

    /// What the peer has been sent so far.
    func received() -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(peer.raw, &room, room.count)
        return count > 0 ? Array(room.prefix(count)) : []
    }
}
