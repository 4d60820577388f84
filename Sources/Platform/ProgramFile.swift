import Glibc

/// Where this program's file is, for the time when another one has taken its name.
public enum ProgramFile {
    /// The path, from the root, of what was started as `name`: not /proc/self/exe, which names the old file still.
    public static func path(startedAs name: String) -> String {
        if name.hasPrefix("/") { return name }
        if name.contains("/") {
            guard let folder = getcwd(nil, 0) else { return name }
            defer { free(folder) }
            return "\(String(cString: folder))/\(name)"
        }
        let folders = getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in folders.split(separator: ":") where folder.hasPrefix("/") {
            let path = "\(folder)/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        return (try? File.absolutePath("/proc/self/exe")) ?? name
    }
}
