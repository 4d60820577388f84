import Bytes

/// The hops as a drawing: one for wide pages and paper, one for narrow screens.
///
/// Verdicts are told by a sign and by the kind of line; colour only repeats them.
struct HopPicture {
    /// The most legs that are drawn between two places.
    private static let most = 6

    private let host: String
    private let legs: [[HopReport]]
    private let rest: [HopReport]
    private let hidden: Int

    init(_ report: AuditReport) {
        host = report.host
        let kinds: [HopReport.Kind] = [.client, .app, .database]
        legs = kinds.map { kind in Self.drawn(report.hops.filter { $0.kind == kind }) }
        rest = Self.drawn(report.hops.filter { !kinds.contains($0.kind) })
        hidden = report.hops.count - legs.reduce(0) { $0 + $1.count } - rest.count
    }

    /// All of them, or of many those that do not hold first.
    private static func drawn(_ hops: [HopReport]) -> [HopReport] {
        guard hops.count > most else { return hops }
        let sorted = [Verdict.fallsShort, .notChecked, .holds].flatMap { verdict in
            hops.filter { $0.verdict == verdict }
        }
        return Array(sorted.prefix(most))
    }

    /// What is not drawn, if anything.
    var note: HTML {
        hidden == 0 ? "" : " \(hidden) more \(hidden == 1 ? "is" : "are") in the summary only."
    }

    /// The whole drawing in words, for those who do not see it.
    private var words: String {
        (legs.flatMap { $0 } + rest).map { hop -> String in
            let seen = [hop.version, hop.suite].compactMap { $0 }.joined(separator: ", ")
            return "\(hop.label): \(hop.verdict.words)\(seen.isEmpty ? "" : ", \(seen)")."
        }.joined(separator: " ")
    }

    // MARK: wide

    private static let node = 84
    private static let leg = 147
    private static let row = 118

    /// Side by side, from the browser to the database; what rests below.
    func wide() -> HTML {
        let rows = max(1, legs.map(\.count).max() ?? 1)
        let height = rows * Self.row + 16
        let restHeight = rest.isEmpty ? 0 : ((rest.count + 2) / 3) * 58 + 40
        var body: HTML = ""
        let names: [[String]] = [
            ["Browsers"], ["everyhop"], ["Application", "servers"], ["Database", "servers"],
        ]
        for (index, lines) in names.enumerated() {
            let left = index * (Self.node + Self.leg)
            body += Self.box(left, 1, Self.node, height - 2, lines, isOurs: index == 1)
        }
        for (index, column) in legs.enumerated() {
            let left = index * (Self.node + Self.leg) + Self.node
            guard !column.isEmpty else {
                body += Self.absent(left + 6, left + Self.leg - 6, height / 2)
                continue
            }
            let step = (height - 16) / column.count
            for (place, hop) in column.enumerated() {
                body += Self.leg(hop, left, 8 + place * step + (step - Self.row) / 2)
            }
        }
        if !rest.isEmpty {
            body += "<path class=\"tie\" d=\"M0 \(height + 14)H777\"/>"
            body += Self.label(0, height + 34, "soft small", "On this host and at rest")
            for (index, hop) in rest.enumerated() {
                body += Self.store(hop, index % 3 * 262, height + 46 + index / 3 * 58, 252)
            }
        }
        return """
            <svg class="wide" viewBox="0 0 777 \(height + restHeight + 2)" role="img" aria-labelledby="pw" aria-describedby="pd">
            <title id="pw">The hops of \(host)</title><desc id="pd">\(words)</desc>
            \(body)</svg>
            """
    }

    /// An arrow with what was seen above and below it.
    private static func leg(_ hop: HopReport, _ left: Int, _ top: Int) -> HTML {
        let middle = left + leg / 2
        let place = lines(hop.place, 23)
        let start = top + (place.count == 1 ? 26 : 14)
        var drawing = label(middle, start, "name", short(hop.name, 19), isCentred: true)
        for (index, line) in place.enumerated() {
            drawing += label(middle, start + 14 + index * 12, "mono soft", line, isCentred: true)
        }
        drawing += arrow(hop.verdict, from: left + 5, to: left + leg - 5, y: top + 58)
        drawing += sign(hop.verdict, middle, top + 58)
        if let version = hop.version {
            drawing += label(middle, top + 83, "version", short(version, 23), isCentred: true)
        }
        let suite = hop.suite.map { lines($0, 23) } ?? []
        for (index, line) in suite.enumerated() {
            drawing += label(middle, top + 97 + index * 12, "mono soft", line, isCentred: true)
        }
        return drawing
    }

    private static func arrow(_ verdict: Verdict, from left: Int, to right: Int, y: Int) -> HTML {
        """
        <path class="line \(HTMLReport.tone(verdict))" d="M\(left) \(y)H\(right - 7)"/>\
        <path class="head \(HTMLReport.tone(verdict))" d="M\(right) \(y)l-9 -5v10z"/>

        """
    }

    // MARK: narrow

    /// One below the other.
    func narrow() -> HTML {
        var body: HTML = ""
        var top = 1
        let names = ["Browsers", "everyhop", "Application servers", "Database servers"]
        for (index, name) in names.enumerated() {
            body += Self.box(1, top, 338, 40, [name], isOurs: index == 1)
            top += 40
            guard index < legs.count else { break }
            if legs[index].isEmpty {
                body += Self.label(56, top + 28, "soft", "none in this audit")
                top += 46
            }
            for (place, hop) in legs[index].enumerated() {
                let isLast = place == legs[index].count - 1
                body += Self.tall(hop, top, isLast: isLast)
                top += 86
            }
        }
        if !rest.isEmpty {
            body += Self.label(1, top + 28, "soft", "On this host and at rest")
            top += 40
            for hop in rest {
                body += Self.store(hop, 1, top, 338)
                top += 58
            }
        }
        return """
            <svg class="narrow" viewBox="0 0 340 \(top + 2)" role="img" aria-labelledby="qw" aria-describedby="qd">
            <title id="qw">The hops of \(host)</title><desc id="qd">\(words)</desc>
            \(body)</svg>
            """
    }

    private static func tall(_ hop: HopReport, _ top: Int, isLast: Bool) -> HTML {
        var drawing: HTML = """
            <path class="line \(HTMLReport.tone(hop.verdict))" d="M28 \(top + 4)V\(top + (isLast ? 74 : 86))"/>

            """
        if isLast {
            drawing += "<path class=\"head \(HTMLReport.tone(hop.verdict))\" d=\"M28 \(top + 83)l-5 -9h10z\"/>"
        }
        drawing += sign(hop.verdict, 28, top + 40)
        drawing += label(56, top + 22, "name", short(hop.name, 30))
        drawing += label(56, top + 39, "mono soft", short(hop.place, 40))
        if let version = hop.version { drawing += label(56, top + 56, "version", short(version, 30)) }
        if let suite = hop.suite { drawing += label(56, top + 72, "mono soft", short(suite, 40)) }
        return drawing
    }

    // MARK: shapes

    private static func box(_ left: Int, _ top: Int, _ width: Int, _ height: Int, _ lines: [String], isOurs: Bool)
        -> HTML
    {
        let first = top + height / 2 + 4 - (lines.count - 1) * 7
        let texts = lines.enumerated().map { index, line in
            label(left + width / 2, first + index * 15, isOurs ? "node ours" : "node", line, isCentred: true)
        }
        return """
            <rect class="\(isOurs ? "box ours" : "box" as HTML)" x="\(left)" y="\(top)" width="\(width)" height="\(height)" rx="4"/>
            \(texts)
            """
    }

    private static func store(_ hop: HopReport, _ left: Int, _ top: Int, _ width: Int) -> HTML {
        let letters = (width - 44) / 8
        return """
            <rect class="store \(HTMLReport.tone(hop.verdict))" x="\(left + 1)" y="\(top)" width="\(width - 2)" height="48" rx="4"/>
            \(sign(hop.verdict, left + 22, top + 24))\
            \(label(left + 40, top + 20, "name", short("\(hop.kind.title) \(hop.name)", letters)))\
            \(label(left + 40, top + 36, "mono soft", short(hop.place, letters * 5 / 4)))
            """
    }

    private static func absent(_ left: Int, _ right: Int, _ y: Int) -> HTML {
        """
        <path class="tie" d="M\(left) \(y)H\(right)"/>\
        \(label((left + right) / 2, y - 8, "soft small", "none in this audit", isCentred: true))

        """
    }

    /// A tick, a cross or a question mark in a disc, drawn, so that no font is needed.
    private static func sign(_ verdict: Verdict, _ x: Int, _ y: Int) -> HTML {
        let stroke: HTML =
            switch verdict {
            case .holds: "M\(x - 4) \(y)l3 4l6 -7"
            case .fallsShort: "M\(x - 4) \(y - 4)l8 8m0 -8l-8 8"
            case .notChecked: "M\(x - 3) \(y - 3)q1 -3 3 -3q4 1 2 5l-2 2v1m0 3v1"
            }
        return """
            <circle class="disc \(HTMLReport.tone(verdict))" cx="\(x)" cy="\(y)" r="10"/><path class="stroke" d="\(stroke)"/>

            """
    }

    private static func label(_ x: Int, _ y: Int, _ style: HTML, _ words: String, isCentred: Bool = false) -> HTML {
        "<text class=\"\(style)\" x=\"\(x)\" y=\"\(y)\"\(isCentred ? " text-anchor=\"middle\"" as HTML : "")>\(words)</text>\n"
    }

    /// A text in two lines if it has to be, divided where a word or a part of a name ends.
    private static func lines(_ text: String, _ letters: Int) -> [String] {
        let text = Visible.text(text)
        guard text.count > letters else { return [text] }
        let room = text.prefix(letters)
        let end =
            (room.lastIndex(of: " ") ?? room.lastIndex { "-_./:,".contains($0) }).map { room.index(after: $0) }
            ?? room.endIndex
        let rest = text[end...]
        return [String(text[..<end]), rest.count <= letters ? String(rest) : rest.prefix(letters - 1) + "\u{2026}"]
    }

    /// As much of a text as there is room for; the whole of it stands in the summary.
    private static func short(_ text: String, _ letters: Int) -> String {
        let text = Visible.text(text)
        return text.count <= letters ? text : text.prefix(letters - 1) + "\u{2026}"
    }
}

extension HopReport {
    /// The version of TLS that was seen.
    var version: String? { isLeg ? fact("version") : nil }
    /// The cipher suite that was seen, or what encrypts at rest.
    var suite: String? { isLeg ? fact("suite", "cipher suite", "cipher") : fact("contents", "cipher", "algorithm") }

    private var isLeg: Bool {
        switch kind {
        case .client, .app, .database: true
        case .process, .documentRoot, .storage: false
        }
    }
}

extension HTMLReport {
    var picture: HTML {
        let picture = HopPicture(report)
        return """
            <figure>
            \(picture.wide())
            \(picture.narrow())
            <figcaption>Every leg with its verdict (tick: holds, cross: falls short, question mark: not fully checked) and
            the version of TLS and cipher suite that were seen. Application servers reach a database through everyhop, which
            speaks TLS to it.\(picture.note)</figcaption>
            </figure>
            """
    }
}
