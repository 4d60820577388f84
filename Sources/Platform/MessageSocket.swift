import CLinux
import Glibc

/// A unix socket that keeps messages apart (SOCK_SEQPACKET), non-blocking.
public enum MessageSocket {
    /// Two connected ends.
    public static func pair() throws(Errno) -> DescriptorPair {
        var ends: (CInt, CInt) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: CInt.self, capacity: 2) { everyhop_message_pair($0) }
        }
        guard result == 0 else { throw Errno(in: "socketpair") }
        return DescriptorPair(first: FileDescriptor(owning: ends.0), second: FileDescriptor(owning: ends.1))
    }

    /// Takes the next message into a buffer: its length, 0 when the other end is gone, nil when none waits.
    public static func receive(
        _ socket: borrowing FileDescriptor,
        into buffer: inout [UInt8]
    ) throws(Errno) -> Int? {
        let raw = socket.raw
        while true {
            let count = buffer.withUnsafeMutableBytes { read(raw, $0.baseAddress, $0.count) }
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            case EAGAIN: return nil
            case let code: throw Errno(code, in: "read")
            }
        }
    }

    /// Sends a message as a whole; false when there is no room for it.
    public static func send(_ socket: borrowing FileDescriptor, _ message: [UInt8]) throws(Errno) -> Bool {
        let raw = socket.raw
        while true {
            let count = message.withUnsafeBytes { write(raw, $0.baseAddress, $0.count) }
            if count >= 0 { return true }
            switch errno {
            case EINTR: continue
            case EAGAIN: return false
            case let code: throw Errno(code, in: "write")
            }
        }
    }
}
