import Evidence

/// Reports as an audit makes them, good and bad.
enum ReportSamples {
    static let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

    /// Something of everything: two bindings, two servers, a database, the process and both kinds of storage.
    static func full(begun: String = "2026-11-25T10:15:00Z", isMended: Bool = false) -> AuditReport {
        AuditReport(
            program: "everyhop 0.1.0",
            host: "edge-1.clinic.example",
            configuration: .init(
                path: "/etc/everyhop/everyhop.toml",
                sha256: String(repeating: isMended ? "5d" : "3f", count: 32)
            ),
            begun: begun,
            ended: "2026-11-25T10:15:04Z",
            hops: client + app(isMended: isMended) + database + host,
            provider: provider,
            previous: nil
        )
    }

    private static func tls(_ version: String, _ suite: String, _ expires: String) -> [Fact] {
        [
            Fact("version", version), Fact("suite", suite), Fact("group", "X25519"), Fact("pin", pin),
            Fact("certificate", "CN=app.internal, O=Clinic, serial 5A1F09C2"), Fact("expires", expires),
        ]
    }

    private static var client: [HopReport] {
        [
            HopReport(
                kind: .client,
                name: "portal",
                place: "0.0.0.0:443 portal.clinic.example",
                facts: tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", "2027-02-11 08:00 UTC"),
                findings: [
                    .holds(
                        .clientVersions,
                        "Only TLS 1.2 and 1.3 are accepted.",
                        [
                            Fact("SSL 3.0", "refused: protocol_version (70)"),
                            Fact("TLS 1.0", "refused: protocol_version (70)"),
                            Fact("TLS 1.1", "refused: protocol_version (70)"),
                            Fact("TLS 1.2", "accepted: ECDHE-ECDSA-AES256-GCM-SHA384"),
                            Fact("TLS 1.3", "accepted: TLS_AES_256_GCM_SHA384"),
                        ]
                    ),
                    .holds(.clientCertificate, "The chain leads to a known authority, and the name is covered."),
                    .holds(.clientRedirect, "Port 80 answers with a redirect to https.", [Fact("status", "308")]),
                ]
            ),
            HopReport(
                kind: .client,
                name: "legacy portal",
                place: "192.0.2.17:8443 old.clinic.example",
                facts: tls("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "2026-12-04 08:00 UTC"),
                findings: [
                    .holds(.clientVersions, "Only TLS 1.2 and 1.3 are accepted."),
                    .fallsShort(
                        .clientExpiry,
                        "The certificate expires in 9 days.",
                        remedy: "Renew it before 2026-12-04, and let it be renewed by itself from then on.",
                        [Fact("valid until", "2026-12-04 08:00 UTC"), Fact("serial", "5A1F09C2")]
                    ),
                    .notChecked(.clientRedirect, "No plain port is configured for this site."),
                ]
            ),
        ]
    }

    private static func app(isMended: Bool) -> [HopReport] {
        [
            HopReport(
                kind: .app,
                name: "app",
                place: "10.0.1.10:443",
                facts: tls("TLSv1.3", "TLS_AES_128_GCM_SHA256", "2027-06-30 12:00 UTC"),
                findings: [
                    .holds(.appTrust, "Verified by authority, name and pin.", [Fact("pin matched", pin)]),
                    .holds(.appPlaintext, "No plain port answers.", [Fact("80", "connection refused")]),
                ]
            ),
            HopReport(
                kind: .app,
                name: "app",
                place: "10.0.1.11:443",
                facts: tls(isMended ? "TLSv1.3" : "TLSv1.2", "TLS_AES_128_GCM_SHA256", "2027-06-30 12:00 UTC"),
                findings: [
                    .holds(.appTrust, "Verified by authority, name and pin."),
                    isMended
                        ? .holds(.appPlaintext, "No plain port answers.")
                        : .fallsShort(
                            .appPlaintext,
                            "The server answers plain HTTP on port 80, too.",
                            remedy: "Close port 80 on 10.0.1.11, or have it listen on loopback only.",
                            [Fact("10.0.1.11:80", "HTTP/1.1 200 OK")]
                        ),
                ]
            ),
        ]
    }

    private static var database: [HopReport] {
        [
            HopReport(
                kind: .database,
                name: "ehr",
                place: "sql.internal:1433",
                facts: tls("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "2028-01-01 00:00 UTC"),
                findings: [
                    .holds(.databaseTrust, "Verified by pin."),
                    .holds(
                        .databasePlaintext,
                        "The server refuses a login without encryption.",
                        [Fact("PRELOGIN ENCRYPTION", "ENCRYPT_REQ (3)")]
                    ),
                ]
            )
        ]
    }

    private static var host: [HopReport] {
        [
            HopReport(
                kind: .process,
                name: "everyhop",
                place: "pid 4711",
                facts: [],
                findings: [.holds(.processKeyFiles, "Key files are readable by their owner alone.")]
            ),
            HopReport(
                kind: .documentRoot,
                name: "files",
                place: "/srv/files",
                facts: [Fact("engine", "fscrypt"), Fact("cipher", "AES-256-XTS")],
                findings: [.holds(.documentRootEncrypted, "The folder is encrypted by the kernel.")]
            ),
            HopReport(
                kind: .storage,
                name: "ehr",
                place: "sql.internal, database ehr",
                facts: [],
                findings: [.notChecked(.storageEncrypted, "No credentials are configured for the database.")]
            ),
        ]
    }

    private static var provider: [ProviderAnswer] {
        [
            ProviderAnswer(
                question: .dataCentre,
                state: .answered,
                answer: "Frankfurt am Main, two halls of one site, named in annex B of the contract.",
                by: "J. Weber, operations",
                on: "2026-03-01"
            ),
            ProviderAnswer(
                question: .contract,
                state: .stale,
                answer: "Master agreement 2024-17 with a business associate agreement.",
                by: "Legal",
                on: "2024-09-12"
            ),
            ProviderAnswer(question: .backup, state: .open, answer: nil, by: nil, on: nil),
            ProviderAnswer(question: .access, state: .open, answer: nil, by: nil, on: nil),
            ProviderAnswer(question: .disposal, state: .open, answer: nil, by: nil, on: nil),
        ]
    }

    /// The same words in every place that holds words of others.
    static func hostile(_ words: String) -> AuditReport {
        let facts = [Fact(words, words), Fact("version", words), Fact("suite", words)]
        let findings: [Finding] = [
            .holds(.clientVersions, words, facts), .fallsShort(.clientSuites, words, remedy: words, facts),
            .notChecked(.clientKey, words, facts),
        ]
        var report = AuditReport(
            program: words,
            host: words,
            configuration: .init(path: words, sha256: words),
            begun: words,
            ended: words,
            hops: HopReport.Kind.allCases.map {
                HopReport(kind: $0, name: words, place: words, facts: facts, findings: findings)
            },
            provider: ProviderAnswer.State.allCases.map {
                ProviderAnswer(question: .backup, state: $0, answer: words, by: words, on: words)
            },
            previous: .init(file: words, sha256: words)
        )
        report = report.compared(
            with: AuditReport(
                program: "",
                host: "",
                configuration: .init(path: words + "2", sha256: words + "2"),
                begun: words,
                ended: "",
                hops: [
                    HopReport(
                        kind: .client,
                        name: words,
                        place: words,
                        facts: [Fact(words, words + "2")],
                        findings: [.holds(.clientSuites, words, [Fact(words, "")])]
                    ), HopReport(kind: .app, name: words + "2", place: words, facts: [], findings: findings),
                ],
                provider: [],
                previous: nil
            ),
            file: .init(file: words, sha256: words)
        )
        return report
    }
}
