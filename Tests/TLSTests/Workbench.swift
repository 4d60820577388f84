import Platform
import Support

/// A folder in which the `openssl` program works.
final class Workbench {
    private let folder: TemporaryFolder
    var path: String { folder.path }

    /// The program said no.
    struct Failed: Error {
        let output: String
    }

    init() throws { folder = try TemporaryFolder() }

    func write(_ name: String, _ bytes: [UInt8]) throws { try folder.write(name, bytes) }

    func read(_ name: String) throws -> [UInt8] { try File.read("\(folder.path)/\(name)") }

    /// Runs the program; what it printed, errors included.
    @discardableResult
    func openssl(_ arguments: [String]) throws -> String {
        let program = try Shell.find("openssl")
        let script = "cd \"$0\" && exec \"$@\" 2>&1 </dev/null"
        let result = try Shell.run(["/bin/sh", "-c", script, folder.path, program] + arguments)
        guard result.status == 0 else { throw Failed(output: result.text) }
        return result.text
    }
}
