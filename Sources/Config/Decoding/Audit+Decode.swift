extension AuditSettings {
    init(_ table: TableReader) {
        reports = table.path("reports")
        key = table.path("key")
        if let key, reports == nil {
            table.complain(
                at: key.position,
                "key signs reports, but none are kept",
                fix: "name their folder: reports = \"reports\""
            )
        }
        log = table.path("log")
        clientsTrust = table.path("clients_trust")
        clientCertificate = table.string("client_certificate")
        if let node = table.node("plain_ports") {
            namesPlainPorts = true
            plainPorts = Self.ports(node, table)
        }
        if case .string("off") = table.node("probe_interval")?.value {
            probeInterval = nil
        } else {
            probeInterval = table.duration("probe_interval") ?? probeInterval
        }
        table.finish()
    }

    private static func ports(_ node: TOMLNode, _ table: TableReader) -> [UInt16] {
        var ports: [UInt16] = []
        var isGood = false
        if case .array(let elements) = node.value {
            isGood = true
            for element in elements {
                if case .integer(let number) = element.value, let port = UInt16(exactly: number), port > 0 {
                    ports.append(port)
                } else {
                    isGood = false
                }
            }
        }
        if !isGood {
            table.complain(at: node.position, "plain_ports is no list of ports", fix: "write it like [80, 8080]")
        }
        return ports
    }
}

extension Provider {
    init(_ table: TableReader) {
        for question in Question.allCases {
            guard let inner = table.table(question.rawValue, label: "[provider] \(question.rawValue)") else { continue }
            answers[question] = Answer(inner)
        }
        table.finish()
    }
}

extension Provider.Answer {
    init?(_ table: TableReader) {
        let answer = Self.words("answer", table)
        let by = Self.words("by", table)
        let on = table.day("on")
        for key in ["answer", "by", "on"] {
            table.require(key, fix: "write it as { answer = \"...\", by = \"...\", on = 2026-03-01 }")
        }
        table.finish()
        guard let answer, let by, let on else { return nil }
        self.init(answer: answer, by: by, on: on)
    }

    private static func words(_ key: String, _ table: TableReader) -> String? {
        guard let text = table.string(key) else { return nil }
        if text.value.contains(where: { !$0.isWhitespace }) { return text.value }
        table.complain(at: text.position, "\(key) is empty", fix: "leave the question out until it is answered")
        return nil
    }
}
