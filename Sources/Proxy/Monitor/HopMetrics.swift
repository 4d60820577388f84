import Evidence
import Telemetry

/// What probes and audits have found, in Prometheus' text format.
enum HopMetrics {
    /// - Parameters:
    ///   - hops: every hop with what was seen last, if anything was.
    ///   - audit: the newest report.
    static func write(_ hops: [(key: HopKey, glance: Glance?)], _ audit: HopMap.Audit) -> String {
        var text = ""
        let seen = hops.compactMap { hop in hop.glance.map { (labels(hop.key), $0) } }
        metric("everyhop_hop_holds", "Whether the hop held when it was last looked at.", seen, &text) {
            $0.report.verdict == .holds ? 1 : 0
        }
        metric("everyhop_hop_checked", "Whether the hop could be looked at.", seen, &text) {
            $0.report.verdict == .notChecked ? 0 : 1
        }
        metric("everyhop_hop_pin_mismatch", "Whether another key than the expected one was shown.", seen, &text) {
            $0.pin == .mismatch ? 1 : 0
        }
        let expiry = "When the certificate that was shown expires, in seconds since 1970."
        metric("everyhop_hop_certificate_expiry_timestamp_seconds", expiry, seen, &text) { $0.notAfter }
        let time = "When the hop was last looked at, in seconds since 1970."
        metric("everyhop_hop_probe_timestamp_seconds", time, seen, &text) { $0.seen }
        metric("everyhop_hop_probe_waits", "Whether probes wait for a session of an application.", seen, &text) {
            $0.waits == nil ? 0 : 1
        }
        guard let verdict = audit.verdict, let ended = audit.endedSeconds else { return text }
        let last = "everyhop_audit_last_verdict"
        PrometheusText.header(last, "What the newest audit came to.", "gauge", &text)
        for word in Verdict.allCases { text += "\(last){verdict=\"\(word.rawValue)\"} \(word == verdict ? 1 : 0)\n" }
        let ends = "everyhop_audit_last_timestamp_seconds"
        PrometheusText.header(ends, "When the newest audit ended, in seconds since 1970.", "gauge", &text)
        text += "\(ends) \(ended)\n"
        return text
    }

    private static func labels(_ key: HopKey) -> String {
        "hop=\"\(key.kind.rawValue)\",name=\"\(PrometheusText.escaped(key.name))\","
            + "place=\"\(PrometheusText.escaped(key.place))\""
    }

    private static func metric(
        _ name: String,
        _ help: String,
        _ seen: [(labels: String, glance: Glance)],
        _ text: inout String,
        value: (Glance) -> Int64?
    ) {
        guard !seen.isEmpty else { return }
        PrometheusText.header(name, help, "gauge", &text)
        for hop in seen { if let value = value(hop.glance) { text += "\(name){\(hop.labels)} \(value)\n" } }
    }
}
