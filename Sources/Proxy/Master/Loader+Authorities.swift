import Config
import TLS

/// Files of authorities, whomever they are to verify.
extension Loader {
    /// Those of servers, each of which needs a name then.
    mutating func readAuthorities(
        _ trust: Upstream.Trust?,
        as name: String,
        _ servers: [Located<Endpoint>],
        hasName: Bool
    ) {
        guard let path = trust?.ca, readAuthorities(path, as: name) else { return }
        for server in servers where server.value.hostName == nil && !hasName {
            complain(at: server.position, "\(server.value) has no name to verify", fix: "add server_name")
        }
    }

    /// Reads a PEM file of authorities into a resource.
    ///
    /// - Parameters:
    ///   - key: what names the file in the configuration.
    ///   - kind: what the authorities are for.
    /// - Returns: whether the file could be read, whatever it holds.
    @discardableResult
    mutating func readAuthorities(
        _ path: Located<String>,
        as name: String,
        key: String = "ca",
        kind: String = "authorities"
    ) -> Bool {
        guard let bytes = read(path, key) else { return false }
        do throws(CertificateError) {
            _ = try CertificateFacts.read(pem: bytes)
            resources[name] = bytes
        } catch { complain(at: path.position, "\(key) \"\(path.value)\": \(error)", fix: "name a PEM file of \(kind)") }
        return true
    }
}
