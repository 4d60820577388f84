import Telemetry

/// Certificates of authorities, in Prometheus' text format and on the page of readiness.
enum IssuanceMetrics {
    static func write(_ updates: [IssuanceUpdate]) -> String {
        guard !updates.isEmpty else { return "" }
        var text = ""
        let success = "everyhop_acme_last_success_timestamp_seconds"
        metric(success, "When the certificate was last issued, in seconds since 1970; 0 for never.", "gauge", &text) {
            updates.map { ($0.name, $0.lastSuccess) }
        }
        let next = "everyhop_acme_next_renewal_timestamp_seconds"
        metric(next, "When the authority is asked again, in seconds since 1970.", "gauge", &text) {
            updates.map { ($0.name, $0.next) }
        }
        metric("everyhop_acme_failures_total", "How often no certificate was issued.", "counter", &text) {
            updates.map { ($0.name, $0.failures) }
        }
        metric("everyhop_acme_placeholder", "Whether a self-signed placeholder is shown.", "gauge", &text) {
            updates.map { ($0.name, $0.isIssued ? 0 : 1) }
        }
        return text
    }

    /// It does not make a server unready: its authority has to reach it.
    static func readiness(_ updates: [IssuanceUpdate]) -> String {
        updates.map { update in
            let state = update.isIssued ? "issued" : "NOT ISSUED YET, a self-signed placeholder is shown"
            return "certificate \(update.name): \(state)"
                + (update.reason.isEmpty ? "\n" : "; failed: \(update.reason)\n")
        }.joined()
    }

    private static func metric(
        _ name: String,
        _ help: String,
        _ type: String,
        _ text: inout String,
        _ values: () -> [(name: String, value: Int)]
    ) {
        PrometheusText.header(name, help, type, &text)
        for value in values() {
            text += "\(name){certificate=\"\(PrometheusText.escaped(value.name))\"} \(value.value)\n"
        }
    }
}
