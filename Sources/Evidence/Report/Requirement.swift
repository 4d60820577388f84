/// A paragraph of a rule or a section of a guide that a finding serves.
public enum Requirement: String, Codable, Sendable, CaseIterable {
    /// Encryption and decryption of health data at rest.
    case encryptionAtRest = "45 CFR 164.312(a)(2)(iv)"
    /// Audit controls.
    case auditControls = "45 CFR 164.312(b)"
    /// Integrity of health data.
    case integrity = "45 CFR 164.312(c)(1)"
    /// Authentication of persons and entities.
    case authentication = "45 CFR 164.312(d)"
    /// Transmission security.
    case transmissionSecurity = "45 CFR 164.312(e)(1)"
    /// Integrity controls in transmission.
    case transmissionIntegrity = "45 CFR 164.312(e)(2)(i)"
    /// Encryption in transmission.
    case transmissionEncryption = "45 CFR 164.312(e)(2)(ii)"
    /// Versions of TLS a server speaks.
    case serverVersions = "NIST SP 800-52r2 3.1"
    /// Certificates of servers.
    case serverCertificates = "NIST SP 800-52r2 3.2"
    /// Cipher suites and groups of servers.
    case serverSuites = "NIST SP 800-52r2 3.3"
    /// Versions of TLS a client speaks.
    case clientVersions = "NIST SP 800-52r2 4.1"
    /// Cipher suites of clients.
    case clientSuites = "NIST SP 800-52r2 4.3"
    /// How a client verifies a server's certificate.
    case pathValidation = "NIST SP 800-52r2 4.5"
    /// Storage encryption: files, folders, volumes.
    case storageEncryption = "NIST SP 800-111 3.1"
    /// Keys of storage encryption: kept, recovered.
    case storageKeys = "NIST SP 800-111 4.2"

    /// What it asks for, in a few words.
    public var summary: String {
        switch self {
        case .encryptionAtRest: "encrypt and decrypt electronic protected health information"
        case .auditControls: "record and examine activity in systems that hold health information"
        case .integrity: "protect health information from improper alteration or destruction"
        case .authentication: "verify that whoever seeks access is the one claimed"
        case .transmissionSecurity: "guard against unauthorized access to health information in transmission"
        case .transmissionIntegrity: "health information in transmission is not modified without detection"
        case .transmissionEncryption: "encrypt health information in transmission"
        case .serverVersions: "servers: TLS 1.2 and 1.3, nothing older"
        case .serverCertificates: "servers: certificates with strong keys and signatures, valid, for the name"
        case .serverSuites: "servers: approved cipher suites and groups"
        case .clientVersions: "clients: TLS 1.2 and 1.3, nothing older"
        case .clientSuites: "clients: approved cipher suites"
        case .pathValidation: "clients: the server's certificate is verified"
        case .storageEncryption: "encrypt storage with an approved algorithm"
        case .storageKeys: "protect storage keys, and keep a way to recover"
        }
    }
}
