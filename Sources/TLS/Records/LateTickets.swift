import Bytes
import COpenSSL

/// A client's library after the handshake of TLS 1.3: it reads the tickets that the server sends then, and nothing else.
///
/// Servers send them right behind the handshake, ahead of anything else, so that the library, which keeps its own count of
/// records, can still open them. What it would say to the server is swallowed: its keys are in use elsewhere.
/// *Ownership:* owns the SSL object.
final class LateTickets {
    private let ssl: OpaquePointer
    private let socket: HandshakeSocket

    init(owning ssl: OpaquePointer, socket: HandshakeSocket) {
        self.ssl = ssl
        self.socket = socket
        socket.isMuted = true
    }

    deinit {
        // Without this, a connection that just ends takes its session with it, and the next one cannot resume.
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN)
        SSL_free(ssl)
    }

    /// Reads a record that is known to be authentic; a ticket reaches the context's callback.
    func take(_ record: Span<UInt8>) {
        socket.replay(record)
        var byte: UInt8 = 0
        var count = 0
        _ = SSL_read_ex(ssl, &byte, 1, &count)
        ERR_clear_error()
    }
}
