import Evidence

/// The admin page: the hops as a line from client to database.
///
/// It is whole without a script; the script only replaces values that `data-v` and `data-s` name.
struct HopPage {
    private let map: HopMap
    /// What style and script are known by: nothing else may run.
    private let nonce: String

    init(_ map: HopMap) {
        self.map = map
        nonce = [UInt64.random(in: 0...UInt64.max), UInt64.random(in: 0...UInt64.max)]
            .map { String($0, radix: 16) }.joined()
    }

    /// The page with what a browser has to be told about it.
    func answer() -> AdminAnswer {
        let policy = [
            "default-src 'none'", "style-src 'nonce-\(nonce)'", "script-src 'nonce-\(nonce)'", "connect-src 'self'",
            "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        ]
        return AdminAnswer(
            contentType: "text/html; charset=utf-8",
            fields: "Content-Security-Policy: \(policy.joined(separator: "; "))\r\nX-Frame-Options: DENY\r\n",
            body: html()
        )
    }

    private func html() -> String {
        """
        <!doctype html>
        <html lang="en" data-live="still" data-monitor="\(HTML.escaped(map.monitor))">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>everyhop: hop map</title>
        <style nonce="\(nonce)">
        :root { \(widths) }
        \(PageStyle.source)
        </style>
        </head>
        <body>
        \(top)
        <main class="wrap">
        \(summary)
        <ol class="line" aria-label="The hops, from client to database">
        \(station("Browser", "clients of the sites", icon: .browser))
        \(leg("Client hop", .client, none: "No site is configured: there is no [[site]] with a binding."))
        \(station("everyhop", "on this host", icon: .shield, isMe: true))
        \(leg("App hop", .app, none: "No upstream is configured: there is no [[upstream]]."))
        \(station("Application", "as it always was", icon: .server))
        \(leg("Database hop", .database, none: databaseless))
        \(station("Database", "server", icon: .database))
        </ol>
        </main>
        \(foot)
        <script nonce="\(nonce)">
        \(PageScript.source)
        </script>
        </body>
        </html>

        """
    }

    /// A hop with many bindings or servers gets more of the line.
    private var widths: String {
        [HopReport.Kind.client, .app, .database].map { kind in
            let count = map.hops.count { $0.kind == kind }
            return "--\(kind.rawValue): \(count > 8 ? 3 : count > 3 ? 2 : 1)fr;"
        }.joined(separator: " ")
    }

    private var databaseless: String {
        "No database is configured. If the application speaks to one over the network, a [[database]] puts that hop under "
            + "TLS, too."
    }

    // MARK: frame

    private var top: String {
        """
        <div class="top"><header class="wrap">
        <span class="brand">everyhop</span>
        <span class="live" role="status"><span class="still">as of \(HTML.escaped(map.time))</span>\
        <span class="on">live</span><span class="lost">connection lost, trying again</span></span>
        <nav aria-label="Further pages"><a href="/hops.json">hops.json</a> <a href="/metrics">metrics</a> \
        <a href="/readyz">readyz</a> <a href="/healthz">healthz</a></nav>
        </header></div>
        """
    }

    private var foot: String {
        """
        <footer><div class="wrap">
        <p>\(HTML.escaped(map.program)), <span data-v="time">\(HTML.escaped(map.time))</span>. Rates are means of the last \
        ten seconds; percentiles are of the last minute.</p>
        <p>Each hop is looked at with one handshake. What it accepts beside that, and what rests on disk, is for \
        <code>everyhop audit</code>.</p>
        </div></footer>
        """
    }

    // MARK: summary

    private var summary: String {
        let traffic = map.traffic
        return """
            <section class="sum" aria-label="Summary">
            <h1><span class="mark" data-s="verdict" data-state="\(map.verdict.rawValue)" aria-hidden="true"></span>\
            <span aria-live="polite" data-v="summary">\(HTML.escaped(map.summary))</span></h1>
            <p class="sub">Every hop that health data takes, as everyhop sees it now.</p>
            <dl class="tiles">
            <div class="chart"><dt>Requests per second, last minute</dt><dd>\
            \(value("traffic.requests", HTML.number(traffic.requests)))\
            <svg viewBox="0 0 600 60" preserveAspectRatio="none" aria-hidden="true"><line x1="0" y1="58" x2="600" y2="58"/>\
            <polyline id="spark" points="\(Self.points(traffic.history))"/></svg></dd></div>
            \(tile("p99", value("traffic.p99_milliseconds", HTML.number(traffic.p99Milliseconds)), unit: "ms"))
            \(tile("Errors (5xx)", value("traffic.errors", HTML.number(traffic.errors)), unit: "per s"))
            \(tile("TLS handshakes", value("traffic.handshakes", HTML.number(traffic.handshakes)), unit: "per s"))
            \(tile("Clients", value("traffic.clients", "\(traffic.clients)"), unit: "connected"))
            \(tile("Next expiry", value("days_left", map.daysLeft.map { "\($0)" } ?? ""), unit: "days"))
            <div><dt>Last audit</dt><dd class="words">\(audit)</dd></div>
            </dl>
            </section>
            """
    }

    private var audit: String {
        let audit = map.audit
        let known =
            pick("audit.verdict", audit.verdict?.rawValue ?? "", Self.verdicts)
            + " <small>\(value("audit.age", audit.age ?? ""))</small>"
        return pick(
            "audit.state",
            audit.state.rawValue,
            [
                ("known", "", known),
                ("never", "open", "never<span class=\"hint\">Run <code>everyhop audit</code>.</span>"),
                (
                    "not-kept", "open",
                    "not kept<span class=\"hint\">Name a folder: <code>reports</code> in <code>[audit]</code>.</span>"
                ),
                (
                    "unreadable", "open",
                    "cannot be read<span class=\"hint\">Look at the rights of the reports' folder.</span>"
                ),
            ]
        )
    }

    private func tile(_ title: String, _ value: String, unit: String) -> String {
        "<div><dt>\(title)</dt><dd>\(value) <small>\(unit)</small></dd></div>"
    }

    /// As the script draws it.
    private static func points(_ history: [Int64]) -> String {
        let most = Double(max(1, history.max() ?? 1))
        return history.enumerated().map { index, count in
            "\((60 - history.count + index) * 10),\(56 - Int((52 * Double(count) / most).rounded()))"
        }.joined(separator: " ")
    }

    // MARK: the line

    private func station(_ name: String, _ about: String, icon: Icon, isMe: Bool = false) -> String {
        """
        <li class="station\(isMe ? " me" : "")"><span class="sign">\(icon.svg)</span><h2>\(name)</h2><p>\(about)</p></li>
        """
    }

    private func leg(_ title: String, _ kind: HopReport.Kind, none: String) -> String {
        let cards = map.hops.indices.filter { map.hops[$0].kind == kind }.map { HopCard(map.hops[$0], $0).html }
        let body =
            cards.isEmpty
            ? "<p class=\"none\">\(none)</p>" : "<div class=\"cards\">\n\(cards.joined(separator: "\n"))\n</div>"
        let count = cards.count > 1 ? " · \(cards.count)" : ""
        return "<li class=\"leg\"><h2><b>\(title)</b>\(count)</h2>\(body)</li>"
    }

    private func value(_ path: String, _ text: String) -> String { HTML.value(path, text) }

    private func pick(_ path: String, _ state: String, _ words: [HTML.Word]) -> String {
        HTML.pick(path, state, words)
    }

    static let verdicts: [HTML.Word] = [
        ("holds", "good", "holds"), ("falls-short", "bad", "falls short"), ("not-checked", "open", "not checked"),
    ]
}

/// Drawn for this page.
private enum Icon: String {
    case browser = "<rect x='3' y='4' width='18' height='16' rx='2'/><path d='M3 9h18M6.5 6.5h.01M9.5 6.5h.01'/>"
    case shield =
        "<path d='M12 3l7 3v5.5c0 4.4-2.9 7.6-7 9.5-4.1-1.9-7-5.1-7-9.5V6z'/><path d='M9 12l2.2 2.2L15.2 10'/>"
    case server =
        "<rect x='4' y='4' width='16' height='7' rx='1.5'/><rect x='4' y='13' width='16' height='7' rx='1.5'/><path d='M8 7.5h.01M8 16.5h.01'/>"
    case database =
        "<ellipse cx='12' cy='6' rx='7' ry='3'/><path d='M5 6v12c0 1.7 3.1 3 7 3s7-1.3 7-3V6M5 12c0 1.7 3.1 3 7 3s7-1.3 7-3'/>"

    var svg: String { "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">\(rawValue)</svg>" }
}
