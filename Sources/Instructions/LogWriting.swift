import Platform
import Telemetry

/// A line of the access log, with as many fields as an exchange has.
final class LogWriting: Part {
    private var log: AccessLog

    init() {
        guard let nowhere = try? File.openForAppending("/dev/null") else { stop("no /dev/null") }
        log = AccessLog(nowhere)
        super.init("access log line")
    }

    override func once() {
        let request = Sample.request
        log.append { line in
            line.field("time_ms", 1_795_000_000_000)
            line.field("request_id", "0123456789abcdefghijkl")
            line.field("client", "203.0.113.24")
            line.field("client_port", 54_321)
            line.field("site", "portal")
            line.field("path", request.span.extracting(4..<33))
            line.field("status", 200)
            line.field("bytes_in", 0)
            line.field("bytes_out", 1024)
            line.field("total_us", 1234)
            line.field("head_us", 12)
            line.field("first_byte_us", 1100)
            line.field("tls_version", "TLSv1.3")
            line.field("tls_cipher", "TLS_AES_128_GCM_SHA256")
            line.field("tls_group", "x25519")
            line.field("tls_resumed", true)
            line.field("tls_sni", "portal.example.org")
            line.field("upstream", "app")
            line.field("server", "127.0.0.1:8443")
            line.field("server_reused", true)
            line.field("server_pin_matched", true)
        }
    }
}
