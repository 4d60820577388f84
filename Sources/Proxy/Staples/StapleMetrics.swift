import TLS
import Telemetry

/// What is stapled, in Prometheus' text format.
enum StapleMetrics {
    private enum State: String, CaseIterable {
        case good
        case revoked
        case missing
    }

    /// - Parameter now: seconds since 1970.
    static func write(_ updates: [StapleUpdate], now: Int64) -> String {
        let labelled = updates.sorted { $0.certificate < $1.certificate }
            .map { ("certificate=\"\(PrometheusText.escaped($0.certificate))\"", $0) }
        var text = ""
        let status = "everyhop_ocsp_status"
        PrometheusText.header(status, "What the authority says of the certificate, as it is stapled.", "gauge", &text)
        for (label, update) in labelled {
            let state = current(update, now)
            for word in State.allCases {
                text += "\(status){\(label),status=\"\(word.rawValue)\"} \(word == state ? 1 : 0)\n"
            }
        }
        gauge("everyhop_ocsp_age_seconds", "How old the answer is.", labelled, &text) { update in
            update.staple.map { max(0, now - $0.thisUpdate) }
        }
        let until = "Until when the answer may be shown, in seconds since 1970."
        gauge("everyhop_ocsp_next_update_timestamp_seconds", until, labelled, &text) { $0.staple?.nextUpdate }
        let must = "Whether the certificate demands a staple."
        gauge("everyhop_ocsp_must_staple", must, labelled, &text) { $0.mustStaple ? 1 : 0 }
        let failures = "everyhop_ocsp_failures_total"
        PrometheusText.header(failures, "How often asking the authority has failed.", "counter", &text)
        for (label, update) in labelled { text += "\(failures){\(label)} \(update.failures)\n" }
        return text
    }

    private static func current(_ update: StapleUpdate, _ now: Int64) -> State {
        guard let staple = update.staple, staple.nextUpdate > now else { return .missing }
        return staple.status == .revoked ? .revoked : .good
    }

    private static func gauge(
        _ name: String,
        _ help: String,
        _ updates: [(label: String, update: StapleUpdate)],
        _ text: inout String,
        _ value: (StapleUpdate) -> Int64?
    ) {
        PrometheusText.header(name, help, "gauge", &text)
        for (label, update) in updates { if let value = value(update) { text += "\(name){\(label)} \(value)\n" } }
    }
}
