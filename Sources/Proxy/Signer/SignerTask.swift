import Bytes
import Platform
import TLS

/// The signer process: the only child that has private keys, when `key_isolation` says so.
///
/// It signs handshakes of TLS for those whom the master connects with it, and does nothing else.
final class SignerTask {
    private final class Client {
        let socket: FileDescriptor
        init(_ socket: consuming FileDescriptor) { self.socket = consume socket }
    }

    private enum Handler {
        case control
        case client(Client)
    }

    private let poller: Poller
    private let keys = KeyHolder()
    private var channel: ControlChannel
    private var handlers = Slab<Handler>()
    private var request = [UInt8](repeating: 0, count: KeyHolder.longestRequest)

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws { try SignerTask(setup).run() }

    private init(_ setup: consuming HelperSetup) throws {
        poller = try Poller()
        channel = setup.takeChannel()
        try poller.add(channel.descriptor, handlers.insert(.control), .read)
    }

    private func run() throws {
        try readControl()
        while true {
            let count = try poller.wait(milliseconds: -1)
            for index in 0..<count {
                let token = poller.event(at: index).token
                // A new key is known before anybody can ask for it.
                try readControl()
                if case .client(let client) = handlers[token], !serve(client) { handlers.remove(token) }
            }
        }
    }

    private func readControl() throws {
        while var message = try channel.receive() {
            switch ControlKind(rawValue: message.kind) {
            case .ping: try channel.send(kind: ControlKind.pong.rawValue)
            case .signerKeys: keys.replace(try PrivateKeys.decode(message.payload))
            case .signer:
                guard let socket = message.takeDescriptor() else { continue }
                let client = Client(socket)
                // It has keys by now: whoever asks need not find out by a handshake that fails.
                _ = try? MessageSocket.send(client.socket, KeyHolder.greeting)
                try poller.add(client.socket, handlers.insert(.client(client)), .read)
            default: break
            }
        }
    }

    /// Answers one request; false when this client is gone, or asks for what nobody asks for.
    private func serve(_ client: Client) -> Bool {
        do {
            guard let count = try MessageSocket.receive(client.socket, into: &request) else { return true }
            guard count > 0, let answer = keys.answer(request[..<count]) else { return false }
            // Whoever takes no answers has asked too much: it notices by its own deadline.
            _ = try MessageSocket.send(client.socket, answer)
            return true
        } catch { return false }
    }
}

/// Private keys on their way to the signer.
enum PrivateKeys {
    static func encode(_ pems: [[UInt8]]) -> [UInt8] {
        var writer = WireWriter()
        writer.put(pems.count)
        for pem in pems { writer.put(pem) }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(WireReader.Malformed) -> [[UInt8]] {
        var reader = WireReader(bytes)
        var pems: [[UInt8]] = []
        for _ in 0..<(try reader.count()) { pems.append(try reader.block()) }
        return pems
    }
}
