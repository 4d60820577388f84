import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// Keeps back what the library says, as soon as it is told to.
private final class HoldingSocket: HandshakeSocket {
    var isHolding = false
    var held: [UInt8] = []

    override func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        guard isHolding else { return super.write(bytes) }
        held += bytes
        return .bytes(bytes.count)
    }
}

/// A client whose last flight the test says in its place, with the library's keys.
final class LastFlight {
    private var server: TLSConnection
    private let own: FileDescriptor
    private let peer: FileDescriptor
    private let context: OpaquePointer
    private let ssl: OpaquePointer
    private let secrets = FlightSecrets()
    private let version: CInt
    private var sealing: RecordProtection
    private var opening: RecordProtection?
    /// What the library would have said: ClientKeyExchange (TLS 1.2) and Finished, without records.
    private(set) var keyExchange: [UInt8] = []
    private(set) var finished: [UInt8] = []

    /// - Parameter session: one to offer.
    init(_ table: ServerNameTable, _ version: CInt) throws {
        self.version = version
        let pair = try SocketPair()
        own = FileDescriptor(owning: pair.second)
        peer = FileDescriptor(owning: pair.first)
        server = try TLSConnection(accepting: table, descriptor: pair.second)
        context = try #require(SSL_CTX_new(TLS_client_method()))
        #expect(everyhop_ctx_set_versions(context, version, version) == 1)
        #expect(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1)
        #expect(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") == 1)
        SSL_CTX_set_keylog_callback(context) { ssl, line in
            guard let ssl, let line, let owner = SSL_get_ex_data(ssl, FlightSecrets.place) else { return }
            Unmanaged<FlightSecrets>.fromOpaque(owner).takeUnretainedValue().take(String(cString: line))
        }
        ssl = try #require(SSL_new(context))
        SSL_set_ex_data(ssl, FlightSecrets.place, Unmanaged.passUnretained(secrets).toOpaque())
        let socket = HoldingSocket(descriptor: pair.first, pool: BufferPool(keep: 4))
        let bio = try #require(socket.makeBIO())
        SSL_set_bio(ssl, bio, bio)
        SSL_set_connect_state(ssl)
        #expect(SSL_do_handshake(ssl) != 1)
        let (goesOn, error) = Link.step(&server)
        #expect(goesOn && error == nil)
        socket.isHolding = true
        _ = SSL_do_handshake(ssl)
        let keys = try #require(secrets.keys(of: ssl, version))
        guard let sealing = keys.sealing(), var reading = keys.opening(ofClient: true) else { throw Stuck() }
        self.sealing = sealing
        opening = keys.opening()
        var rest = socket.held[...]
        while let header = RecordHeader(Array(rest.prefix(RecordHeader.size)).span) {
            let record = Array(rest.prefix(RecordHeader.size + header.length))
            rest = rest.dropFirst(record.count)
            let isEncrypted = version == TLS1_3_VERSION ? header.type == 23 : !keyExchange.isEmpty && header.type == 22
            if isEncrypted {
                let opened = reading.opened(record)
                finished = try #require(opened).content
            } else if header.type == RecordType.handshake {
                keyExchange = Array(record.dropFirst(RecordHeader.size))
            }
        }
        #expect(!finished.isEmpty)
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// What a client may send.
    enum Piece {
        /// A record in plain.
        case plain(UInt8, [UInt8])
        /// One that is encrypted.
        case sealed(UInt8, [UInt8])
        /// Bytes as they are.
        case bytes([UInt8])
    }

    func send(_ pieces: [Piece]) {
        for piece in pieces {
            let bytes: [UInt8]
            switch piece {
            case .plain(let type, let content): bytes = RecordHeader.plainRecord(type, content)
            case .sealed(let type, let content): bytes = sealing.sealed(type, content)
            case .bytes(let some): bytes = some
            }
            #expect(Glibc.write(peer.raw, bytes, bytes.count) == bytes.count)
        }
    }

    func end() { Glibc.shutdown(peer.raw, CInt(SHUT_WR)) }

    /// How the server's handshake ends or goes on, and the alerts that it says.
    func verdict() -> String {
        var room = [UInt8](repeating: 0, count: 65_536)
        var (goesOn, error) = Link.step(&server)
        for _ in 0..<8 where goesOn { (goesOn, error) = Link.step(&server) }
        let count = Glibc.read(peer.raw, &room, room.count)
        var input = Array(room.prefix(max(count, 0)))
        var alerts: [String] = []
        while let header = RecordHeader(input.span), input.count >= RecordHeader.size + header.length {
            let record = Array(input.prefix(RecordHeader.size + header.length))
            input.removeFirst(record.count)
            if version == TLS1_2_VERSION, header.type == RecordType.alert, header.length == 2 {
                alerts.append("\(record.suffix(2).map { $0 })")
            } else if let opened = opening?.opened(record), opened.type == RecordType.alert {
                alerts.append("\(opened.content)")
            }
        }
        if goesOn { return "waits, said \(alerts)" }
        return error == nil ? "done, said \(alerts)" : "refused, said \(alerts)"
    }

    var carriesItself: Bool { server.carriesItself }
}

/// What the library logs of a handshake's secrets.
private final class FlightSecrets {
    static let place = everyhop_ssl_ex_index()
    private var secrets: [Substring: [UInt8]] = [:]

    func take(_ line: String) {
        let words = line.split(separator: " ")
        if words.count == 3 { secrets[words[0]] = bytes(ofHexadecimal: words[2]) }
    }

    /// What both sides protect records with.
    struct Keys {
        let isModern: Bool
        /// Secrets of TLS 1.3, or keys and salts of TLS 1.2.
        let client: [UInt8]
        let server: [UInt8]

        func sealing() -> RecordProtection? { make(client, isSealing: true) }
        func opening(ofClient: Bool = false) -> RecordProtection? { make(ofClient ? client : server, isSealing: false) }

        private func make(_ bytes: [UInt8], isSealing: Bool) -> RecordProtection? {
            var protection: RecordProtection?
            bytes.withUnsafeBytes { bytes in
                if isModern {
                    protection = RecordProtection.modern(.aes128, isSealing: isSealing, secret: bytes)
                    return
                }
                let keys = TrafficSecrets.Keys(
                    key: UnsafeRawBufferPointer(rebasing: bytes[..<16]),
                    vector: UnsafeRawBufferPointer(rebasing: bytes[16...])
                )
                protection = .explicit(.aes128, isSealing: isSealing, keys, lastNonce: .max, sequence: 0)
            }
            return protection
        }
    }

    func keys(of ssl: OpaquePointer, _ version: CInt) -> Keys? {
        if version == TLS1_3_VERSION {
            guard let client = secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"],
                let server = secrets["SERVER_TRAFFIC_SECRET_0"]
            else { return nil }
            return Keys(isModern: true, client: client, server: server)
        }
        guard let master = secrets["CLIENT_RANDOM"] else { return nil }
        let block = keyBlock(master: master, of: ssl)
        guard block.count >= 40 else { return nil }
        return Keys(
            isModern: false,
            client: Array(block[..<16]) + Array(block[32..<36]),
            server: Array(block[16..<32]) + Array(block[36..<40])
        )
    }
}
