extension AuditSettings {
    init(_ table: TableReader) {
        log = table.path("log")
        clientsTrust = table.path("clients_trust")
        if let node = table.node("plain_ports") {
            namesPlainPorts = true
            plainPorts = Self.ports(node, table)
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
