import Telemetry

/// Until when certificates and lists are good, in Prometheus' text format.
enum ExpiryMetrics {
    /// - Parameter now: seconds since 1970.
    static func write(_ items: [ExpiringItem], now: Int64) -> String {
        var seen: Set<String> = []
        let labelled = items.compactMap { item -> (String, ExpiringItem)? in
            let labels =
                "role=\"\(item.role.rawValue)\",certificate=\"\(PrometheusText.escaped(item.place))\","
                + "subject=\"\(PrometheusText.escaped(item.subject))\",fingerprint=\"\(item.fingerprint.prefix(16))\""
            // The same certificate twice in a file, or two bindings with the same authorities.
            return seen.insert(labels).inserted ? (labels, item) : nil
        }
        var text = ""
        let end = "everyhop_certificate_not_after_seconds"
        PrometheusText.header(end, "When the certificate or list expires, in seconds since 1970.", "gauge", &text)
        for (labels, item) in labelled { text += "\(end){\(labels)} \(item.notAfter)\n" }
        let days = "everyhop_certificate_expires_in_days"
        PrometheusText.header(days, "Whole days until the certificate or list expires.", "gauge", &text)
        for (labels, item) in labelled { text += "\(days){\(labels)} \(item.days(now: now))\n" }
        return text
    }
}
