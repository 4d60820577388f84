import Glibc
import Platform

/// What is looked at before the first step, so that what cannot end well does not begin.
struct FolderPrecheck {
    private let state: FolderState
    private let note: (String) -> Void

    init(_ state: FolderState, _ note: @escaping (String) -> Void) {
        self.state = state
        self.note = note
    }

    func run() throws(FolderFailure) {
        let found = try state.explained(state.folder) { () throws(Errno) in
            try FolderEncryption.inspect(state.folder)
        }
        if found.engine == .fscrypt || found.engine == .gocryptfs {
            throw FolderFailure(
                "\(state.folder) is encrypted already, by \(found.engine.rawValue), but not by everyhop"
            )
        }
        try checkMounts()
        try checkTree()
        try checkExchange()
        let users = OpenFiles.below(state.folder)
        if !users.isEmpty {
            note("in use by \(users.map(\.description).joined(separator: ", ")): stop that first if it writes there")
        }
    }

    private func checkMounts() throws(FolderFailure) {
        let table = try state.explained("/proc/self/mountinfo") { () throws(Errno) in try MountTable.current() }
        if table.mounts.contains(where: { $0.path == state.folder }) {
            throw FolderFailure("something is mounted at \(state.folder): encrypt a folder below it, or the device")
        }
        let inner = table.below(state.folder).map(\.path)
        guard inner.isEmpty else {
            throw FolderFailure("mounted inside of it, and not encrypted with it: \(inner.joined(separator: ", "))")
        }
    }

    private func checkTree() throws(FolderFailure) {
        let folder = try state.open(state.folder)
        let survey = try state.explainedTree(state.folder) { () throws(TreeFailure) in try TreeSurvey(folder) }
        guard survey.linkedOutside.isEmpty else {
            let some = survey.linkedOutside.prefix(5).joined(separator: ", ")
            throw FolderFailure("these have another name outside of \(state.folder), and would stay in plain: \(some)")
        }
        let free = try state.explained(state.parent) { () throws(Errno) in
            try Folder.freeBytes(at: Folder.opened(state.parent))
        }
        // A folder, an inode and what an engine adds take a little more than the contents.
        let needed = survey.bytes + survey.bytes / 32 + UInt64(survey.entries) * 1024 + (4 << 20)
        guard free >= needed else {
            throw FolderFailure(
                "not enough room for a copy: \(needed >> 20) MiB are needed, \(free >> 20) MiB are free"
            )
        }
        note("\(survey.entries) entries, \(survey.bytes >> 20) MiB")
    }

    /// Whether the file system can exchange two folders in one step.
    private func checkExchange() throws(FolderFailure) {
        try state.make()
        let (one, other) = ("\(state.place)/one", "\(state.place)/other")
        defer {
            rmdir(one)
            rmdir(other)
        }
        do {
            try File.makeFolder(one)
            try File.makeFolder(other)
            try Folder.exchange(one, other)
        } catch { throw FolderFailure("the file system of \(state.folder) cannot exchange folders: \(error)") }
    }
}
