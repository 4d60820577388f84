import Foundation
import Support

/// Connections as a load balancer makes them.
enum Balancer {
    static let line = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"

    /// What came back; empty when the connection was ended.
    static func ask(_ port: UInt16, _ folder: TemporaryFolder, _ arguments: [String]) throws -> String {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        return try Shell.run(
            [
                "python3", "\(peers)/proxy_client.py", "--port", "\(port)", "--ca", "\(folder.path)/authority.pem",
            ] + arguments,
            merged: true
        ).text
    }
}
