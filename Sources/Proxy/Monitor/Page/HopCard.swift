import Evidence

/// One hop on the page.
struct HopCard {
    private let hop: HopMap.Hop
    /// Where it stands in `/hops.json`.
    private let path: String

    init(_ hop: HopMap.Hop, _ index: Int) {
        self.hop = hop
        path = "hops.\(index)"
    }

    var html: String {
        """
        <article data-s="\(path).verdict" data-state="\(hop.verdict.rawValue)">
        <header><h3>\(HTML.escaped(hop.name))</h3>\
        <span class="state">\(HTML.pick("\(path).verdict", hop.verdict.rawValue, HopPage.verdicts))</span>\
        <p class="place">\(HTML.escaped(hop.place))</p></header>
        <p class="why">\(value("statement", hop.statement))</p>
        <dl>
        \(rows.joined(separator: "\n"))
        </dl>
        <p class="seen">Looked at: \(value("age", hop.age))\(optional("waits", hop.waits, "; "))</p>
        </article>
        """
    }

    private var rows: [String] {
        var rows: [String] = []
        if let doors = hop.doors {
            let list = doors.map { "<code>\(HTML.escaped($0))</code>" }.joined(separator: "<br>")
            rows.append(row("Dialled at", doors.isEmpty ? "nowhere" : list))
        }
        let also = hop.kind == .database ? "" : optional("protocol", hop.protocol, ", ")
        let group = optional("group", hop.group, ", ")
        rows.append(row("TLS", "<b>\(value("version", hop.version))</b>\(group)\(also)"))
        rows.append(row("Cipher", value("cipher", hop.cipher), shownIf: "cipher", hop.cipher))
        rows.append(
            row(
                "Key",
                HTML.pick("\(path).pin", hop.pin.rawValue, hop.kind == .client ? Self.bindingPins : Self.serverPins)
                    + "<code class=\"key\"\(condition("key", hop.key))>\(value("key", hop.key))</code>"
            )
        )
        let days = hop.daysLeft.map { "\($0)" }
        rows.append(row("Expires in", "<b>\(value("days_left", days))</b> days", shownIf: "days_left", days))
        if let health = hop.health { rows.append(row("Server", HTML.pick("\(path).health", health, Self.healths))) }
        if let load = hop.load { rows.append(rates(load)) }
        return rows
    }

    private func rates(_ load: HopMap.Load) -> String {
        let isDatabase = hop.kind == .database
        return row(
            isDatabase ? "Sessions" : "Requests",
            "<b>\(value("load.rate", HTML.number(load.rate)))</b> per s, "
                + "<b>\(value("load.errors", HTML.number(load.errors)))</b> failed per s, "
                + "\(value("load.active", "\(load.active)")) \(isDatabase ? "open" : "under way")"
        )
    }

    /// - Parameter shownIf: the value without which there is no such row.
    private func row(_ title: String, _ markup: String, shownIf name: String? = nil, _ text: String? = nil) -> String {
        "<div\(name.map { condition($0, text) } ?? "")><dt>\(title)</dt><dd>\(markup)</dd></div>"
    }

    private func condition(_ name: String, _ text: String?) -> String {
        " data-if=\"\(path).\(name)\"\(text == nil ? " hidden" : "")"
    }

    private func optional(_ name: String, _ text: String?, _ separator: String) -> String {
        "<span\(condition(name, text))>\(separator)\(value(name, text))</span>"
    }

    private func value(_ name: String, _ text: String?) -> String { HTML.value("\(path).\(name)", text ?? "") }

    private static let bindingPins: [HTML.Word] = [
        ("matches", "good", "as configured"), ("mismatch", "bad", "not as configured"),
        ("unused", "", "shown"), ("unseen", "open", "not seen"),
    ]
    private static let serverPins: [HTML.Word] = [
        ("matches", "good", "pin matches"), ("mismatch", "bad", "pin mismatch"),
        ("unused", "good", "no pin: the authority vouches"), ("unseen", "open", "not seen"),
    ]
    private static let healths: [HTML.Word] = [
        ("up", "good", "up"), ("down", "bad", "down by its checks"), ("ejected", "bad", "left out after failures"),
        ("unchecked", "", "no health check"),
    ]
}

/// Pieces of markup; every text goes through `escaped`.
enum HTML {
    /// One of the words that an element may show: its state, its tone, and markup.
    typealias Word = (state: String, tone: String, markup: String)

    /// Text as it may stand between tags and in attributes.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            // Controls, and what turns the direction of the text that follows.
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}":
                escaped += "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// A value that the script replaces; a dash stands for none.
    static func value(_ path: String, _ text: String) -> String {
        "<span data-v=\"\(path)\">\(text.isEmpty ? "–" : escaped(text))</span>"
    }

    /// The word for a state; the others are there, too, for the script to choose from.
    static func pick(_ path: String, _ state: String, _ words: [Word]) -> String {
        let list = words.map { "<span class=\"\($0.state) \($0.tone)\">\($0.markup)</span>" }.joined()
        return "<span class=\"pick\" data-s=\"\(path)\" data-state=\"\(escaped(state))\">\(list)</span>"
    }

    /// As a script writes it.
    static func number(_ value: Double?) -> String {
        guard let value else { return "" }
        return value == value.rounded() ? String(Int64(value)) : "\(value)"
    }
}
