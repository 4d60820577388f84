internal import Platform

/// What keeps the processes of one everyhop from doing harm: as the kernel shows it, and, since it shows nothing of
/// landlock, as each of them told the master before it met anybody.
struct SandboxAudit {
    /// The master's children that are looked at, in the order of the report.
    private static let names = ["worker", "monitor", "prober", "resolver", "stapler", "acme", "watcher", "signer"]

    let master: ProcessFacts
    let processes: [ProcessFacts]
    let told: ProcessAudit.Told

    init(_ master: ProcessFacts, _ processes: [ProcessFacts], _ told: ProcessAudit.Told) {
        self.master = master
        self.processes = processes.filter { $0.parent == master.identifier }
        self.told = told
    }

    /// Layers that this host lacks, whoever asks; a comparison shows when that changes.
    static func facts() -> [Fact] {
        let lacks = Sandbox.unavailable()
        let missing = Sandbox.Layer.allCases.filter { lacks[$0] != nil }.map(\.meaning)
        return [Fact("layers of the sandbox that this host lacks", missing.isEmpty ? "none" : list(missing))]
    }

    func finding() -> Finding {
        let lacks = Sandbox.unavailable()
        let children = Self.names.flatMap { name in
            processes.filter { $0.name == name }.map { Child(name, $0, told, lacks) }
        }
        guard children.contains(where: { $0.name == "worker" }) else {
            return .notChecked(.processSandbox, "the process has no worker that can be seen")
        }
        // Whoever has not told yet has not met anybody.
        let settled = children.filter { !$0.isStarting }
        let evidence = [Fact("master \(master.identifier)", Child.text(ofMaster: master))] + children.map(\.evidence)
        // So it is, too, when another program is taking this one's place.
        guard settled.contains(where: { $0.name == "worker" }) else {
            return .notChecked(.processSandbox, "the workers still start", evidence)
        }
        let faults = Self.names.compactMap { name in
            fault(of: name, settled.filter { $0.name == name }.flatMap(\.faults))
        }
        guard faults.isEmpty else {
            let remedy = Self.remedy(for: Set(settled.flatMap(\.faults).map(\.layer)))
            return .fallsShort(.processSandbox, faults.joined(separator: "; "), remedy: remedy, evidence)
        }
        if case .unknown(let reason) = told {
            let statement = "whether landlock holds the processes cannot be seen: \(reason)"
            return .notChecked(.processSandbox, statement, evidence)
        }
        let without = Sandbox.Layer.allCases.filter { layer in settled.contains { $0.told?.has(layer) == false } }
        let lacking = without.isEmpty ? "" : "; it lacks \(Self.list(without.map(Self.quoted)))"
        let statement = "\(settled.count) processes have put on every layer that this kernel has\(lacking)"
        return .holds(.processSandbox, statement, evidence)
    }

    private func fault(of name: String, _ faults: [Child.Fault]) -> String? {
        var texts: [String] = []
        for fault in faults where !texts.contains(fault.text) { texts.append(fault.text) }
        guard !texts.isEmpty else { return nil }
        let isWorker = name == "worker"
        let forms = texts.map { $0.replacing("(s)", with: isWorker ? "" : "s") }
        return "\(isWorker ? "workers" : "the \(name)") \(forms.joined(separator: ", "))"
    }

    private static func remedy(for layers: Set<Sandbox.Layer>) -> String {
        var remedies: [String] = []
        if !layers.isDisjoint(with: [.user, .capabilities]) {
            remedies.append(
                "start everyhop as root with user = \"everyhop\" in [server], so that processes can give up what they need not"
            )
        }
        if !layers.isSubset(of: [.user, .capabilities]) {
            remedies.append(
                "use a kernel that has the layer, with \"landlock\" among the lsm= of its command line, and let whoever "
                    + "confines everyhop, such as a container's seccomp profile, permit it"
            )
        }
        return remedies.joined(separator: "; ")
    }

    fileprivate static func quoted(_ layer: Sandbox.Layer) -> String { "\"\(layer.meaning)\"" }

    private static func list(_ words: [String]) -> String { words.joined(separator: ", ") }
}

/// One child of the master.
private struct Child {
    /// What is not as it has to be; `(s)` is left out when there are many.
    struct Fault {
        let layer: Sandbox.Layer
        let text: String
    }

    let name: String
    let facts: ProcessFacts
    /// What it told of itself; nil when that is not known.
    let told: ConfinedProcess?
    /// Whether the master knows it, and waits for its word.
    let isStarting: Bool
    /// What this host does not permit to anybody.
    private let lacks: [Sandbox.Layer: String]

    init(_ name: String, _ facts: ProcessFacts, _ told: ProcessAudit.Told, _ lacks: [Sandbox.Layer: String]) {
        self.name = name
        self.facts = facts
        self.lacks = lacks
        switch told {
        case .processes(let list):
            self.told = list.first { $0.process == facts.identifier && $0.name == name }
            isStarting = self.told == nil
        case .unknown:
            self.told = nil
            isStarting = false
        }
    }

    /// The one who looks at folders needs to read whatever there is, and nothing else of root's power.
    private var keepsReading: Bool { name == "watcher" }

    private var isUnprivileged: Bool {
        let users = facts.status["Uid"]?.split(whereSeparator: { $0 == "\t" || $0 == " " }) ?? []
        return !users.isEmpty && !users.contains("0")
    }

    private var capabilities: UInt64? { facts.status["CapEff"].flatMap { UInt64($0, radix: 16) } }

    /// What the kernel shows of a layer; nil where it shows nothing, or where the layer is not this process's.
    private func seen(_ layer: Sandbox.Layer) -> Bool? {
        switch layer {
        case .user: keepsReading ? nil : isUnprivileged
        case .capabilities:
            capabilities.map { $0 & ~(keepsReading ? 1 << UInt64(Capability.readEveryFile.rawValue) : 0) == 0 } ?? false
        case .privileges: facts.status["NoNewPrivs"] == "1"
        case .memory: facts.coreLimit == "0"
        case .calls: facts.status["Seccomp"] == "2"
        case .code, .files, .ports, .scope: nil
        }
    }

    /// What is not as it has to be: what the kernel shows, whatever the process told; and what it told.
    var faults: [Fault] {
        Sandbox.Layer.allCases.compactMap { layer in
            if seen(layer) == false { return Fault(layer: layer, text: Self.fault(layer)) }
            guard let reason = told?.missing.first(where: { $0.layer == layer.rawValue })?.reason else { return nil }
            switch layer {
            // Newer than kernels that are well kept: without them, others hold.
            case .code, .ports, .scope:
                guard lacks[layer] == nil else { return nil }
                return Fault(
                    layer: layer,
                    text: "lack(s) \(SandboxAudit.quoted(layer)), which this kernel has (\(reason))"
                )
            case .user, .capabilities, .privileges, .memory, .files, .calls:
                return Fault(layer: layer, text: "lack(s) \(SandboxAudit.quoted(layer)) (\(reason))")
            }
        }
    }

    private static func fault(_ layer: Sandbox.Layer) -> String {
        switch layer {
        case .user: "run(s) as root"
        case .capabilities: "keep(s) capabilities"
        case .privileges: "may gain privileges"
        case .memory: "may write core files"
        case .calls: "may make any system call"
        case .code, .files, .ports, .scope: "lack(s) \(SandboxAudit.quoted(layer))"
        }
    }

    var evidence: Fact {
        let layers = Sandbox.Layer.allCases.map { layer in "\(layer.name): \(word(layer))" }
        let starting = isStarting ? "still starts; " : ""
        return Fact("\(name) \(facts.identifier)", starting + layers.joined(separator: ", "))
    }

    private func word(_ layer: Sandbox.Layer) -> String {
        if seen(layer) == false { return "no" }
        if let reason = told?.missing.first(where: { $0.layer == layer.rawValue })?.reason { return "no (\(reason))" }
        if seen(layer) == true { return "yes" }
        guard let told else { return "not known" }
        return told.has(layer) == true ? "yes" : "not needed"
    }

    /// It listens, starts the others and reads files, so it is confined less.
    static func text(ofMaster facts: ProcessFacts) -> String {
        let gains = facts.status["NoNewPrivs"] == "1" ? "yes" : "no"
        let core = facts.coreLimit == "0" ? "yes" : "no"
        return
            "no new privileges: \(gains), no core file: \(core), capabilities: \(facts.status["CapEff"] ?? "not known")"
    }
}

extension ProcessFacts {
    /// Which child of the master it is.
    fileprivate var name: String? { arguments.dropFirst().first }
}
