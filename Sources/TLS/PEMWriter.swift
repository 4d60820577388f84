import COpenSSL
import Glibc

/// Collects what OpenSSL prints.
enum PEMWriter {
    static func write(_ body: (OpaquePointer) -> CInt) throws(CertificateError) -> [UInt8] {
        guard let bio = BIO_new(BIO_s_mem()) else { throw .library("out of memory") }
        defer { BIO_free(bio) }
        guard body(bio) == 1 else { throw .fromQueue("writing PEM") }
        return bytes(of: bio)
    }

    static func bytes(of bio: OpaquePointer) -> [UInt8] {
        var start: UnsafeMutablePointer<CChar>?
        let count = everyhop_bio_memory(bio, &start)
        guard let start, count > 0 else { return [] }
        return UnsafeRawBufferPointer(start: start, count: Int(count)).map { $0 }
    }
}

/// Lets OpenSSL read bytes of ours.
enum MemoryReader {
    /// Calls `body` with a BIO over `bytes`, which keeps a pointer into them: it must not outlive the call.
    static func read<R>(
        _ bytes: [UInt8],
        _ body: (OpaquePointer) throws(CertificateError) -> R
    ) throws(CertificateError) -> R {
        try bytes.withUnsafeBufferPointer { buffer throws(CertificateError) in
            let made = buffer.baseAddress.map { BIO_new_mem_buf($0, CInt(clamping: buffer.count)) }
            // Nothing has no address: an empty BIO then.
            guard let bio = made ?? BIO_new(BIO_s_mem()) else { throw .library("out of memory") }
            defer { BIO_free(bio) }
            return try body(bio)
        }
    }
}

/// IP addresses between their bytes and their text.
enum AddressText {
    static func write(_ bytes: [UInt8]) -> String? {
        var text = [CChar](repeating: 0, count: 64)
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, 64) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The one way to write an address; nil when the text is none.
    static func canonical(_ text: String) -> String? {
        // C would stop at a zero byte and take the rest for granted.
        guard !text.utf8.contains(0) else { return nil }
        var room = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &room) == 1 { return write(Array(room.prefix(4))) }
        return inet_pton(AF_INET6, text, &room) == 1 ? write(room) : nil
    }

    static func isAddress(_ text: String) -> Bool { canonical(text) != nil }
}
