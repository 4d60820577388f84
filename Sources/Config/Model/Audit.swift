/// `[audit]`: what an audit measures by, and where its reports and its log go.
public struct AuditSettings: Sendable {
    /// The audit log; nil when none is kept.
    public internal(set) var log: Located<String>?
    /// Authorities that clients trust, as PEM; nil for those of the system.
    public internal(set) var clientsTrust: Located<String>?
    /// Ports at which servers of other hosts must not answer in plain.
    public internal(set) var plainPorts: [UInt16] = [80, 8080]
    /// Whether the plain ports were named: then they are looked at on this host, too.
    public internal(set) var namesPlainPorts = false
}
