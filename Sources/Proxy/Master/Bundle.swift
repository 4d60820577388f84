import Config
import TLS

/// A configuration with every file it names: all that a worker needs, so that a worker opens no file.
///
/// *Ownership:* it holds private keys; it travels from the loader to the master and from there to workers, over pipes
/// and sockets that nobody else holds.
struct Bundle {
    /// The configuration file's path, as given.
    var file: String
    /// The parsed file in `TOMLDocument`'s own encoding.
    var tree: [UInt8]
    /// The contents of the files that the configuration names, by the path it names them with.
    var resources: [String: [UInt8]]

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(file)
        writer.put(tree)
        writer.put(resources.count)
        for (path, bytes) in resources.sorted(by: { $0.key < $1.key }) {
            writer.put(path)
            writer.put(bytes)
        }
        return writer.bytes
    }

    init(file: String, tree: [UInt8], resources: [String: [UInt8]]) {
        self.file = file
        self.tree = tree
        self.resources = resources
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        file = try reader.text()
        tree = try reader.block()
        resources = [:]
        for _ in 0..<(try reader.count()) {
            let path = try reader.text()
            resources[path] = try reader.block()
        }
    }

    /// Decodes the configuration again; the loader has found it good.
    ///
    /// Every process begins with this: where approved cryptography is demanded, it uses nothing else from here on.
    func configuration() throws -> Configuration {
        let document: TOMLDocument
        do { document = try TOMLDocument(decoding: tree) } catch { throw WireReader.Malformed() }
        let decoded = Configuration.decode(document)
        guard decoded.isUsable else { throw WireReader.Malformed() }
        if decoded.configuration.tls.demandsFIPS { try FIPS.demand() }
        return decoded.configuration
    }
}
