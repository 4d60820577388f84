import Bytes
import Platform
import TLS
import Telemetry

/// The master of the program that was here before, as the one sees it that takes over.
final class Former {
    enum State {
        /// It serves, and waits for this one.
        case serving
        /// It was told that this one serves.
        case told
        /// It has handed over, and finishes what it has.
        case finishing
    }

    final class Socket {
        let inherited: InheritedSocket
        let descriptor: FileDescriptor

        init(_ inherited: InheritedSocket, _ descriptor: consuming FileDescriptor) {
            self.inherited = inherited
            self.descriptor = descriptor
        }
    }

    var channel: ControlChannel
    var token: Token?
    var state = State.serving
    /// What it has counted so far.
    var tally = MetricsTally()
    private(set) var sockets: [Socket] = []
    private(set) var inheritance = Inheritance(generation: 0, addresses: [:])
    private(set) var tickets: TicketKeys?
    private(set) var health: [HealthUpdate] = []
    private(set) var hops: [HopUpdate] = []
    private(set) var staples: [StapleUpdate] = []

    /// Waits for everything that it hands over.
    init() throws {
        channel = ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
        var hasInheritance = false
        while true {
            var message = try channel.receiveWaiting()
            switch ControlKind(rawValue: message.kind) {
            case .inheritance:
                inheritance = try Inheritance(decoding: message.payload)
                hasInheritance = true
            case .inheritedSocket:
                guard let descriptor = message.takeDescriptor() else { throw WireReader.Malformed() }
                sockets.append(Socket(try InheritedSocket(decoding: message.payload), descriptor))
            case .ticketKeys: tickets = TicketKeys(decoding: message.payload)
            // What another version says otherwise will be found out anew.
            case .health: if let update = try? HealthUpdate(decoding: message.payload) { health.append(update) }
            case .hop: if let update = try? HopUpdate(decoding: message.payload) { hops.append(update) }
            case .staple: if let update = try? StapleUpdate(decoding: message.payload) { staples.append(update) }
            case .counts: tally = try MetricsTally(decoding: message.payload)
            case .start:
                guard hasInheritance else { throw WireReader.Malformed() }
                return
            default: break
            }
        }
    }

    func tell(_ kind: ControlKind, _ payload: [UInt8] = []) { try? channel.send(kind: kind.rawValue, payload) }

    /// Everything is this one's now.
    func forgetSockets() { sockets = [] }
}
