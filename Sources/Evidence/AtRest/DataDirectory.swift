import Database
import Platform

/// The folders where a PostgreSQL server on this host keeps its data, and what encrypts them.
public struct DataDirectory: Equatable, Sendable {
    /// A folder.
    public struct Folder: Equatable, Sendable {
        /// What it is for.
        public var role: String
        /// Where it is.
        public var path: String
    }

    /// The folders: the data directory, then the write-ahead log and tablespaces that lie elsewhere.
    public var folders: [Folder]
    /// What the server calls its data (pg_control); nil when it does not tell.
    public var system: String?

    /// Asks the server.
    ///
    /// - Parameter configured: the data directory that the configuration names; nil to ask for it.
    public static func look(configured: String?, _ session: some SQLSession) throws -> DataDirectory {
        var path = configured
        if path == nil {
            do { path = try session.rows("SHOW data_directory").first?.first.flatMap { $0 } } catch let error
                as ServerError
            {
                throw DatabaseFailure(
                    "the server refuses: \(error); GRANT pg_read_all_settings to the user, or set data_directory"
                )
            }
        }
        guard let path, path.hasPrefix("/") else { throw DatabaseFailure("the server names no data directory") }
        var folders = [Folder(role: "data directory", path: path)]
        let log = "\(path)/pg_wal"
        if let real = try? File.absolutePath(log), let base = try? File.absolutePath(path), !real.hasPrefix(base + "/")
        {
            folders.append(Folder(role: "write-ahead log", path: real))
        }
        let tablespaces = try? session.rows(
            "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''"
        )
        for row in tablespaces ?? [] {
            guard row.count == 2, let name = row[0], let place = row[1], place.hasPrefix("/") else { continue }
            folders.append(Folder(role: "tablespace \(name)", path: place))
        }
        // Not every version and user may ask for it.
        let system = try? session.rows("SELECT system_identifier FROM pg_control_system()").first?.first.flatMap { $0 }
        return DataDirectory(folders: folders, system: system.flatMap { $0 })
    }

    /// Whether the folder on this host holds the data of the server that was asked, not that of another one.
    ///
    /// A loopback address may lead through a tunnel to another host, where the path is the same.
    ///
    /// - Returns: why not; nil when it does.
    public func whyElsewhere() -> String? {
        guard let path = folders.first?.path else { return "the server names no data directory" }
        let control: [UInt8]
        do { control = try File.read("\(path)/global/pg_control", limit: 65_536) } catch {
            return error.isMissing
                ? "\(path) is no data directory of PostgreSQL on this host"
                : "\(path) cannot be looked at: \(error.message); run this as root or as the server's own user"
        }
        guard let system else {
            return "the server does not tell which data is its own (pg_control_system() of PostgreSQL 9.6 on), so that "
                + "\(path) on this host may be another one's"
        }
        guard control.count >= 8 else { return "\(path)/global/pg_control is cut off" }
        let identifier = control.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return String(identifier) == system
            ? nil : "\(path) on this host belongs to another server (its identifier is \(identifier), not \(system))"
    }

    /// Whether every folder is encrypted.
    ///
    /// - Parameter inspect: tells what encrypts a folder.
    public func findings(inspect: (String) throws -> FolderEncryption) -> [Finding] {
        if let reason = whyElsewhere() { return [.notChecked(.storageEncrypted, reason)] }
        return folders.map { folder in
            let found: FolderEncryption
            do { found = try inspect(folder.path) } catch {
                return .notChecked(.storageEncrypted, "the \(folder.role) \(folder.path) cannot be looked at: \(error)")
            }
            let weak = found.shortcomings.joined(separator: "; ")
            guard found.isEncrypted else {
                let reason = weak.isEmpty ? "" : " (\(weak))"
                return .fallsShort(
                    .storageEncrypted,
                    "the \(folder.role) \(folder.path) is not encrypted, and PostgreSQL does not encrypt by itself\(reason)",
                    remedy: "everyhop database enable-encryption tells how",
                    found.detail
                )
            }
            let statement = "the \(folder.role) \(folder.path) is encrypted by \(found.engine.rawValue)"
            return weak.isEmpty
                ? .holds(.storageEncrypted, statement, found.detail)
                : .fallsShort(
                    .storageEncrypted,
                    "\(statement), but \(weak)",
                    remedy: "encrypt it anew, with what docs/at-rest.md names",
                    found.detail
                )
        }
    }

    /// How to encrypt what PostgreSQL does not.
    public static func instructions(_ path: String) -> String {
        """
        PostgreSQL does not encrypt its files by itself: the folder that they are in has to be. On the server's host, as \
        root, with a back-up at hand:

          systemctl stop postgresql
          everyhop docroot encrypt \(path)
          everyhop docroot status \(path)
          systemctl start postgresql

        After each start of the host the folder has to be unlocked before PostgreSQL starts: everyhop docroot unlock \
        \(path). Tablespaces outside of it are folders of their own.
        """
    }
}
