import COpenSSL
import Glibc
import Testing

@testable import TLS

/// A library context of its own, with our provider or without: what is installed here, no other test sees.
final class Library {
    let context: OpaquePointer

    init(isOurs: Bool) throws {
        context = try #require(OSSL_LIB_CTX_new())
        if isOurs { #expect(LibraryProvider.install(in: context)) }
        _ = try #require(OSSL_PROVIDER_load(context, "default"))
    }

    deinit { OSSL_LIB_CTX_free(context) }
}

/// One side of handshakes by the bare library, with a group alone and a certificate by itself.
final class Peer {
    let context: OpaquePointer
    let isServer: Bool
    private let library: Library

    init(_ library: Library, isServer: Bool, version: CInt, group: String = "x25519") throws {
        self.library = library
        self.isServer = isServer
        let method = isServer ? TLS_server_method() : TLS_client_method()
        context = try #require(SSL_CTX_new_ex(library.context, nil, method))
        #expect(everyhop_ctx_set_versions(context, version, version) == 1)
        // P-256 is there so that TLS 1.2 has a group for certificates, P-384 so that it finds one of its own.
        let groups = group == "secp256r1" ? "P-256:P-384" : "\(group):P-256:P-384"
        #expect(everyhop_ctx_set_groups(context, groups) == 1)
        guard isServer else { return }
        let bench = try Workbench()
        try bench.openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=peer"]
                + ["-keyout", "key.pem", "-out", "chain.pem"]
        )
        #expect(SSL_CTX_use_certificate_chain_file(context, "\(bench.path)/chain.pem") == 1)
        #expect(SSL_CTX_use_PrivateKey_file(context, "\(bench.path)/key.pem", SSL_FILETYPE_PEM) == 1)
    }

    deinit { SSL_CTX_free(context) }
}

/// Two sides over a pair of buffers in memory.
final class Handshake {
    private let client: OpaquePointer
    private let server: OpaquePointer

    init(_ client: Peer, _ server: Peer) throws {
        self.client = try #require(SSL_new(client.context))
        self.server = try #require(SSL_new(server.context))
        var (one, other): (OpaquePointer?, OpaquePointer?)
        #expect(BIO_new_bio_pair(&one, 65536, &other, 65536) == 1)
        SSL_set_bio(self.client, one, one)
        SSL_set_bio(self.server, other, other)
        SSL_set_connect_state(self.client)
        SSL_set_accept_state(self.server)
    }

    deinit {
        SSL_free(client)
        SSL_free(server)
    }

    /// Steps both sides until both are done.
    func run() throws {
        for _ in 0..<20 {
            let results = [client, server].map { side in
                let result = SSL_do_handshake(side)
                return result == 1 ? SSL_ERROR_NONE : SSL_get_error(side, result)
            }
            if results == [SSL_ERROR_NONE, SSL_ERROR_NONE] { return }
            try #require(results.allSatisfy { [SSL_ERROR_NONE, SSL_ERROR_WANT_READ].contains($0) }, "\(results)")
        }
        Issue.record("no end")
    }

    /// The name of the group, where both sides say the same.
    var group: String? {
        let names = [client, server].map { everyhop_group_name($0).map { String(cString: $0) } }
        return names[0] == names[1] ? names[0] : nil
    }

    /// Sends to the server; what it gets.
    func exchange(_ bytes: [UInt8]) throws -> [UInt8] {
        try #require(SSL_write(client, bytes, CInt(bytes.count)) == bytes.count)
        var received = [UInt8](repeating: 0, count: bytes.count)
        try #require(SSL_read(server, &received, CInt(received.count)) == bytes.count)
        return received
    }
}
