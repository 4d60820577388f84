import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// The bare library as one side of a connection whose other side is ours.
final class LibraryPeer {
    let ssl: OpaquePointer
    private let context: OpaquePointer
    private let socket: FileDescriptor

    /// A client that trusts everybody.
    init(clientOn descriptor: CInt, _ version: CInt, prepare: (OpaquePointer) -> Void = { _ in }) throws {
        context = try #require(SSL_CTX_new(TLS_client_method()))
        #expect(everyhop_ctx_set_versions(context, version, version) == 1)
        prepare(context)
        ssl = try #require(SSL_new(context))
        socket = FileDescriptor(owning: descriptor)
        #expect(SSL_set_fd(ssl, descriptor) == 1)
        SSL_set_connect_state(ssl)
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// Whether the handshake is complete.
    func step() -> Bool { SSL_do_handshake(ssl) == 1 }

    func send(_ bytes: [UInt8]) { #expect(SSL_write(ssl, bytes, CInt(bytes.count)) == bytes.count) }

    /// What has come; nothing where nothing has, or where the connection is at an end.
    func received() -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = SSL_read(ssl, &room, CInt(room.count))
        return count > 0 ? Array(room.prefix(Int(count))) : []
    }

    /// The alert that has ended the connection, as the library calls it.
    func refusal() -> String? {
        ERR_clear_error()
        var byte: UInt8 = 0
        guard SSL_read(ssl, &byte, 1) <= 0 else { return nil }
        defer { ERR_clear_error() }
        return ERR_reason_error_string(ERR_peek_last_error()).map { String(cString: $0) }
    }
}

/// Our server, whose records are our own, and the library's client.
final class OwnServer {
    var tls: TLSConnection
    let peer: LibraryPeer
    private let socket: FileDescriptor
    private let pool = BufferPool(keep: 4)

    init(_ table: ServerNameTable, _ version: CInt, prepare: (OpaquePointer) -> Void = { _ in }) throws {
        let pair = try SocketPair()
        peer = try LibraryPeer(clientOn: pair.first, version, prepare: prepare)
        tls = try TLSConnection(accepting: table, descriptor: pair.second)
        socket = FileDescriptor(owning: pair.second)
        for _ in 0..<10 {
            let isDone = peer.step()
            let (goesOn, error) = Link.step(&tls)
            #expect(error == nil)
            if isDone, !goesOn { break }
        }
        let carriesItself = tls.carriesItself
        #expect(carriesItself)
    }

    func read() throws -> (ReadOutcome, [UInt8]) {
        var queue = ByteQueue(pool: pool)
        let outcome = try tls.read(into: &queue)
        return (outcome, take(&queue))
    }

    func write(_ bytes: [UInt8]) throws { #expect(try tls.write(bytes.span) == .bytes(bytes.count)) }
}
