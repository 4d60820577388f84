import Foundation
import Platform

/// An authority that the `openssl` program keeps: it issues, revokes, lists what it has revoked, and answers questions.
public final class OpenSSLAuthority: Sendable {
    private let folder: TemporaryFolder
    private let place: String

    /// Its certificate's file.
    public var certificate: String { "\(place)/ca.pem" }

    /// Makes one in a folder.
    ///
    /// - Parameter parent: the authority above it; without one, it is a root.
    public init(_ name: String, in folder: TemporaryFolder, under parent: OpenSSLAuthority? = nil) throws {
        self.folder = folder
        place = "\(folder.path)/\(name)"
        try File.makeFolder(place)
        try File.makeFolder("\(place)/issued")
        try folder.write("\(name)/index.txt", "")
        try folder.write("\(name)/serial", "1000\n")
        try folder.write("\(name)/crlnumber", "01\n")
        try folder.write(
            "\(name)/ca.cnf",
            """
            [ca]
            default_ca = own
            [own]
            database = \(place)/index.txt
            new_certs_dir = \(place)/issued
            serial = \(place)/serial
            crlnumber = \(place)/crlnumber
            certificate = \(place)/ca.pem
            private_key = \(place)/ca.key
            default_md = sha256
            policy = any
            default_days = 90
            default_crl_days = 7
            unique_subject = no
            [any]
            commonName = supplied
            [req]
            distinguished_name = nobody
            [nobody]
            """
        )
        let usage =
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash"
        if let parent {
            try parent.issue(name, extensions: usage, to: "\(place)/ca")
        } else {
            let added = usage.split(separator: "\n").flatMap { ["-addext", String($0)] }
            try openssl(
                ["req", "-x509", "-config", "\(place)/ca.cnf", "-days", "90", "-subj", "/CN=\(name)"] + added
                    + newKey("\(place)/ca.key") + ["-out", certificate]
            )
        }
    }

    /// Issues a certificate: NAME.pem with the chain, and NAME.key, in the folder that everything is in.
    public func issue(_ name: String, extensions: String, chain: [OpenSSLAuthority] = [], rsa: Bool = false) throws {
        try issue(name, extensions: extensions, to: "\(folder.path)/\(name)", rsa: rsa)
        let issuers = try chain.map { try File.read($0.certificate) }
        let leaf = try File.read("\(folder.path)/\(name).pem")
        try folder.write("\(name).leaf.pem", leaf)
        try folder.write("\(name).pem", leaf + issuers.flatMap { $0 })
    }

    private func issue(_ name: String, extensions: String, to path: String, rsa: Bool = false) throws {
        try File.write(Array(extensions.utf8), to: "\(path).ext", mode: 0o600)
        try openssl(
            ["req", "-new", "-config", "\(place)/ca.cnf", "-subj", "/CN=\(name)", "-out", "\(path).csr"]
                + newKey("\(path).key", rsa: rsa)
        )
        try openssl([
            "ca", "-batch", "-notext", "-config", "\(place)/ca.cnf", "-in", "\(path).csr", "-out", "\(path).pem",
            "-extfile", "\(path).ext",
        ])
    }

    /// Revokes one of its certificates, by the file that holds it.
    public func revoke(_ file: String) throws {
        try openssl(["ca", "-config", "\(place)/ca.cnf", "-revoke", "\(folder.path)/\(file)"])
    }

    /// Writes its list of revoked certificates to a file of the folder.
    public func list(_ file: String, _ more: String...) throws {
        try openssl(["ca", "-config", "\(place)/ca.cnf", "-gencrl", "-out", "\(folder.path)/\(file)"] + more)
    }

    /// Writes an answer about a certificate to a file of the folder.
    public func answer(_ file: String, about certificate: String, _ more: String...) throws {
        try openssl(
            [
                "ocsp", "-index", "\(place)/index.txt", "-CA", self.certificate, "-rsigner", self.certificate, "-rkey",
                "\(place)/ca.key", "-issuer", self.certificate, "-cert", "\(folder.path)/\(certificate)", "-respout",
                "\(folder.path)/\(file)",
            ] + more
        )
    }

    /// Answers questions on a port until it goes away.
    public final class Responder {
        private let process: Int32

        init(_ arguments: [String], log: String) throws {
            process = try ChildProcess.spawn(
                "/bin/sh",
                arguments: ["sh", "-c", "exec \"$@\" > \"$0\" 2>&1", log, try Shell.find("openssl")] + arguments,
                environment: ChildProcess.currentEnvironment(),
                descriptors: []
            )
            // Not by a connection: one that asks nothing keeps it from all others.
            try waitUntil("openssl ocsp") {
                (try? String(decoding: File.read(log), as: UTF8.self))?.contains("waiting for OCSP client") == true
            }
        }

        deinit {
            kill(process, SIGKILL)
            _ = ChildProcess.wait(for: process)
        }
    }

    /// Starts a responder.
    ///
    /// - Parameter signer: a certificate of the folder that signs for the authority; nil for the authority itself.
    public func respond(on port: UInt16, signer: String? = nil, _ more: String...) throws -> Responder {
        let path = signer.map { "\(folder.path)/\($0)" }
        return try Responder(
            [
                "ocsp", "-port", "\(port)", "-index", "\(place)/index.txt", "-CA", certificate, "-rsigner",
                path.map { "\($0).leaf.pem" } ?? certificate, "-rkey", path.map { "\($0).key" } ?? "\(place)/ca.key",
            ] + (more.isEmpty ? ["-ndays", "1"] : more),
            log: "\(place)/responder.\(port)"
        )
    }

    private func newKey(_ path: String, rsa: Bool = false) -> [String] {
        (rsa ? ["-newkey", "rsa:2048"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            + ["-nodes", "-keyout", path]
    }

    private func openssl(_ arguments: [String]) throws {
        let result = try Shell.run(["openssl"] + arguments, merged: true)
        guard result.status == 0 else { throw DeadlinePassed(description: "openssl \(arguments): \(result.text)") }
    }
}
