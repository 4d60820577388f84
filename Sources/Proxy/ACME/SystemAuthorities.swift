import Platform

/// The authorities that programs of this host trust.
enum SystemAuthorities {
    /// Where distributions keep them.
    private static let lists = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]

    /// All of them as PEM; nil when this host has no such list.
    static func read() -> [UInt8]? {
        for path in lists { if let bytes = try? File.read(path) { return bytes } }
        return nil
    }
}
