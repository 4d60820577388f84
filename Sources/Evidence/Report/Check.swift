/// Something that an audit looks at.
public enum Check: String, Codable, Sendable, CaseIterable {
    // Client hop, per binding.
    case clientReachable = "client.reachable"
    case clientVersions = "client.versions"
    case clientSuites = "client.suites"
    case clientCertificate = "client.certificate"
    case clientExpiry = "client.expiry"
    case clientKey = "client.key"
    case clientTransportSecurity = "client.hsts"
    case clientRedirect = "client.redirect"
    case clientPlaintext = "client.plaintext"
    // App hop, per server.
    case appReachable = "app.reachable"
    case appTrust = "app.trust"
    case appBackupPin = "app.backup-pin"
    case appVersion = "app.version"
    case appExpiry = "app.expiry"
    case appPlaintext = "app.plaintext"
    // Database hop.
    case databaseReachable = "database.reachable"
    case databaseTrust = "database.trust"
    case databaseBackupPin = "database.backup-pin"
    case databaseVersion = "database.version"
    case databaseExpiry = "database.expiry"
    case databaseBinding = "database.binding"
    case databasePlaintext = "database.plaintext"
    // The process on this host.
    case processConfiguration = "process.configuration"
    case processSandbox = "process.sandbox"
    case processKeyFiles = "process.key-files"
    case processLogs = "process.logs"
    case processAdmin = "process.admin"
    case processAuditLog = "process.audit-log"
    // At rest.
    case documentRootEncrypted = "document-root.encrypted"
    case documentRootRecovery = "document-root.recovery"
    case storageEncrypted = "storage.encrypted"

    /// What is looked at, in a few words.
    public var title: String {
        switch self {
        case .clientReachable, .appReachable, .databaseReachable: "Reachable"
        case .clientVersions: "Versions of TLS that are accepted"
        case .clientSuites: "Cipher suites and group"
        case .clientCertificate: "Certificate chain and names"
        case .clientExpiry, .appExpiry, .databaseExpiry: "Expiry of the certificate"
        case .clientKey: "Key and signature of the certificate"
        case .clientTransportSecurity: "Strict-Transport-Security"
        case .clientRedirect: "What the plain port does"
        case .clientPlaintext: "What a plain request to the TLS port gets"
        case .appTrust, .databaseTrust: "How the server is verified"
        case .appBackupPin, .databaseBackupPin: "Backup pin"
        case .appVersion, .databaseVersion: "Version of TLS and cipher suite"
        case .appPlaintext: "Whether the server answers in plain, too"
        case .databaseBinding: "What the application dials"
        case .databasePlaintext: "Whether the server accepts an unencrypted login"
        case .processConfiguration: "Whether this configuration is the one that serves"
        case .processSandbox: "Sandbox of the workers"
        case .processKeyFiles: "Who may read key files"
        case .processLogs: "What logs tell"
        case .processAdmin: "Who reaches the admin address"
        case .processAuditLog: "The audit log"
        case .documentRootEncrypted: "The folder is encrypted"
        case .documentRootRecovery: "A recovery key exists"
        case .storageEncrypted: "The database's files are encrypted"
        }
    }

    /// What it serves.
    public var requirements: [Requirement] {
        switch self {
        case .clientReachable: [.transmissionSecurity]
        case .clientVersions: [.transmissionEncryption, .serverVersions]
        case .clientSuites: [.transmissionEncryption, .transmissionIntegrity, .serverSuites]
        case .clientCertificate: [.authentication, .serverCertificates]
        case .clientExpiry, .clientKey: [.authentication, .serverCertificates]
        case .clientTransportSecurity, .clientRedirect: [.transmissionSecurity, .transmissionEncryption]
        case .clientPlaintext: [.transmissionEncryption]
        case .appReachable, .databaseReachable: [.transmissionSecurity]
        case .appTrust, .databaseTrust: [.authentication, .pathValidation]
        case .appBackupPin, .databaseBackupPin: [.authentication]
        case .appVersion, .databaseVersion:
            [.transmissionEncryption, .transmissionIntegrity, .clientVersions, .clientSuites]
        case .appExpiry, .databaseExpiry: [.authentication, .serverCertificates]
        case .appPlaintext, .databasePlaintext, .databaseBinding: [.transmissionSecurity, .transmissionEncryption]
        case .processConfiguration: [.auditControls]
        case .processSandbox: [.integrity]
        case .processKeyFiles: [.authentication, .transmissionSecurity]
        case .processLogs: [.auditControls]
        case .processAdmin: [.auditControls, .transmissionSecurity]
        case .processAuditLog: [.auditControls, .integrity]
        case .documentRootEncrypted, .storageEncrypted: [.encryptionAtRest, .storageEncryption]
        case .documentRootRecovery: [.encryptionAtRest, .storageKeys]
        }
    }
}
