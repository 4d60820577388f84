import Glibc

/// Blocking name resolution, for a process that carries no traffic.
public enum NameResolution {
    /// Why a name has no address.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What getaddrinfo(3) says.
        public let description: String
    }

    /// Every address of `name`, in the system's order of preference.
    public static func resolve(_ name: String, port: UInt16) throws(Failure) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        // Not AI_ADDRCONFIG: it hides loopback addresses on a host that has no others.
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, String(port), &hints, &list)
        guard code == 0 else { throw Failure(description: String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            var storage = sockaddr_storage()
            let length = min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
            if let source = entry.pointee.ai_addr {
                withUnsafeMutableBytes(of: &storage) {
                    $0.copyMemory(from: UnsafeRawBufferPointer(start: source, count: length))
                }
            }
            if let address = SocketAddress(storage, length: socklen_t(length)), !addresses.contains(address) {
                addresses.append(address)
            }
            next = entry.pointee.ai_next
        }
        guard !addresses.isEmpty else { throw Failure(description: "no address") }
        return addresses
    }
}
