import COpenSSL
import Glibc
import Testing

@testable import TLS

/// What TLS 1.3 derives, beside the library's own and the examples of RFC 8448.
@Suite("Keys of TLS 1.3") struct KeyScheduleTests {
    /// What one derivation is told.
    struct Request {
        var hash = "SHA256"
        var mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY
        var secret: [UInt8]?
        var salt: [UInt8]?
        var prefix = Array("tls13 ".utf8)
        var label = Array("derived".utf8)
        var context: [UInt8]?
        var count = 32
    }

    private func hexadecimal(_ bytes: [UInt8]?) -> String {
        (bytes ?? []).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func bytes(_ text: String) -> [UInt8] {
        stride(from: 0, to: text.count, by: 2).compactMap { offset in
            let start = text.index(text.startIndex, offsetBy: offset)
            return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)
        }
    }

    /// Hands the request over as the library does.
    private func withParameters<R>(_ request: Request, _ body: (UnsafePointer<OSSL_PARAM>) -> R) -> R {
        var mode = request.mode
        var hash = Array(request.hash.utf8CString)
        var strings: [(name: String, bytes: [UInt8])] = []
        if let secret = request.secret { strings.append((OSSL_KDF_PARAM_KEY, secret)) }
        if let salt = request.salt { strings.append((OSSL_KDF_PARAM_SALT, salt)) }
        strings.append((OSSL_KDF_PARAM_PREFIX, request.prefix))
        strings.append((OSSL_KDF_PARAM_LABEL, request.label))
        if let context = request.context { strings.append((OSSL_KDF_PARAM_DATA, context)) }
        let rooms = strings.map { entry in
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, entry.bytes.count), alignment: 1)
            room.copyBytes(from: entry.bytes)
            return room
        }
        let names = strings.map { strdup($0.name) }
        let fixed = [strdup(OSSL_KDF_PARAM_MODE), strdup(OSSL_KDF_PARAM_DIGEST)]
        defer {
            for room in rooms { room.deallocate() }
            for name in names + fixed { free(name) }
        }
        return withUnsafeMutablePointer(to: &mode) { mode in
            hash.withUnsafeMutableBufferPointer { hash in
                var list = [
                    OSSL_PARAM_construct_int(fixed[0], mode),
                    OSSL_PARAM_construct_utf8_string(fixed[1], hash.baseAddress, 0),
                ]
                for (index, entry) in strings.enumerated() {
                    list.append(
                        OSSL_PARAM_construct_octet_string(names[index], rooms[index].baseAddress, entry.bytes.count)
                    )
                }
                list.append(OSSL_PARAM_construct_end())
                return list.withUnsafeBufferPointer { buffer in
                    buffer.baseAddress.map(body) ?? body(UnsafePointer(UnsafeMutablePointer.allocate(capacity: 1)))
                }
            }
        }
    }

    private func ours(_ request: Request, with derivation: Derivation = Derivation()) throws -> [UInt8]? {
        let schedule = try #require(KeySchedule(request.hash == "SHA384" ? .sha384 : .sha256))
        return withParameters(request) { parameters in
            guard derivation.take(parameters) else { return nil }
            var key = [UInt8](repeating: 0, count: request.count)
            let isDone = key.withUnsafeMutableBytes { derivation.derive(with: schedule, into: $0) }
            return isDone ? key : nil
        }
    }

    private func theirs(_ request: Request) throws -> [UInt8]? {
        let algorithm = try #require(EVP_KDF_fetch(nil, OSSL_KDF_NAME_TLS1_3_KDF, "provider=default"))
        defer { EVP_KDF_free(algorithm) }
        let context = try #require(EVP_KDF_CTX_new(algorithm))
        defer { EVP_KDF_CTX_free(context) }
        var key = [UInt8](repeating: 0, count: request.count)
        let isDone = withParameters(request) { EVP_KDF_derive(context, &key, key.count, $0) == 1 }
        ERR_clear_error()
        return isDone ? key : nil
    }

    @Test func `the example of RFC 8448`() throws {
        // §3: {server} extract secret "early", derive secret for handshake, extract secret "handshake".
        let early = try ours(Request(mode: EVP_KDF_HKDF_MODE_EXTRACT_ONLY))
        #expect(hexadecimal(early) == "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
        let derived = try ours(
            Request(
                secret: early,
                context: bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            )
        )
        #expect(hexadecimal(derived) == "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")
        let handshake = try ours(
            Request(
                mode: EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                secret: bytes("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"),
                salt: early
            )
        )
        #expect(hexadecimal(handshake) == "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
    }

    @Test(arguments: ["SHA256", "SHA384"]) func `every length gives what the library gives`(hash: String) throws {
        let size = hash == "SHA384" ? 48 : 32
        let derivation = Derivation()
        var generator = SystemRandomNumberGenerator()
        func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) } }
        for count in [1, 12, 16, 31, 32, 33, 48, 49, 64, 255, 1000] {
            for labelCount in [1, 5, 12, 200] {
                for contextCount in [nil, 0, 32, 48] as [Int?] {
                    let request = Request(
                        hash: hash,
                        secret: random(size),
                        label: random(labelCount),
                        context: contextCount.map(random),
                        count: count
                    )
                    // The same one again and again, so that nothing of the one before is left.
                    derivation.reset()
                    #expect(try ours(request, with: derivation) == theirs(request), "\(request)")
                }
            }
        }
        for secret in [nil, 32, 48, 66, 1024] as [Int?] {
            for salt in [nil, size] as [Int?] {
                let request = Request(
                    hash: hash,
                    mode: EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                    secret: secret.map(random),
                    salt: salt.map(random),
                    count: size
                )
                derivation.reset()
                #expect(try ours(request, with: derivation) == theirs(request), "\(request)")
            }
        }
    }

    @Test func `what does not fit is refused`() throws {
        let key = [UInt8](repeating: 1, count: 32)
        #expect(try ours(Request(secret: nil)) == nil)
        #expect(try ours(Request(secret: [UInt8](repeating: 1, count: 1025))) == nil)
        #expect(try ours(Request(secret: key, label: [UInt8](repeating: 1, count: 250))) == nil)
        #expect(try ours(Request(secret: key, context: [UInt8](repeating: 1, count: 65))) == nil)
        #expect(try ours(Request(secret: key, count: 255 * 32 + 1)) == nil)
        #expect(try ours(Request(hash: "MD5", secret: key)) == nil)
        #expect(try ours(Request(mode: EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, secret: key)) == nil)
        #expect(try ours(Request(mode: EVP_KDF_HKDF_MODE_EXTRACT_ONLY, secret: key, count: 33)) == nil)
    }
}
