import Bytes

/// Media types by the ends of file names.
///
/// No character set is told: whoever wrote the file knows it and can say so inside; a wrong one here would win over that.
public enum MediaType {
    /// Of what has no known end; browsers are told not to guess.
    public static var unknown: StaticString { "application/octet-stream" }

    /// The type of a file.
    public static func of(_ path: Span<UInt8>) -> StaticString {
        var dot = path.count
        while dot > 0, path[dot - 1] != 0x2E {
            guard path[dot - 1] != 0x2F else { return unknown }
            dot -= 1
        }
        guard dot > 0, dot < path.count else { return unknown }
        let end = path.extracting(dot..<path.count)
        for (candidate, type) in table where ASCII.equalIgnoringCase(end, candidate) { return type }
        return unknown
    }

    private static let table: [(StaticString, StaticString)] = [
        ("html", "text/html"), ("htm", "text/html"), ("css", "text/css"), ("js", "text/javascript"),
        ("mjs", "text/javascript"), ("json", "application/json"), ("map", "application/json"), ("png", "image/png"),
        ("jpg", "image/jpeg"), ("jpeg", "image/jpeg"), ("gif", "image/gif"), ("svg", "image/svg+xml"),
        ("webp", "image/webp"), ("avif", "image/avif"), ("ico", "image/x-icon"), ("woff2", "font/woff2"),
        ("woff", "font/woff"), ("ttf", "font/ttf"), ("otf", "font/otf"), ("eot", "application/vnd.ms-fontobject"),
        ("txt", "text/plain"), ("text", "text/plain"), ("log", "text/plain"), ("md", "text/markdown"),
        ("csv", "text/csv"), ("ics", "text/calendar"), ("vcf", "text/vcard"), ("vtt", "text/vtt"),
        ("xml", "application/xml"), ("xsl", "application/xslt+xml"), ("xslt", "application/xslt+xml"),
        ("xhtml", "application/xhtml+xml"), ("rss", "application/rss+xml"), ("atom", "application/atom+xml"),
        ("webmanifest", "application/manifest+json"), ("wasm", "application/wasm"), ("pdf", "application/pdf"),
        ("rtf", "application/rtf"), ("doc", "application/msword"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("xls", "application/vnd.ms-excel"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("ppt", "application/vnd.ms-powerpoint"),
        ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        ("odt", "application/vnd.oasis.opendocument.text"), ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("epub", "application/epub+zip"), ("zip", "application/zip"), ("gz", "application/gzip"),
        ("tgz", "application/gzip"), ("bz2", "application/x-bzip2"), ("xz", "application/x-xz"),
        ("zst", "application/zstd"), ("7z", "application/x-7z-compressed"), ("tar", "application/x-tar"),
        ("jar", "application/java-archive"), ("mp3", "audio/mpeg"), ("m4a", "audio/mp4"), ("ogg", "audio/ogg"),
        ("oga", "audio/ogg"), ("opus", "audio/ogg"), ("flac", "audio/flac"), ("wav", "audio/wav"),
        ("mp4", "video/mp4"), ("m4v", "video/mp4"), ("webm", "video/webm"), ("ogv", "video/ogg"),
        ("mov", "video/quicktime"), ("avi", "video/x-msvideo"), ("mkv", "video/x-matroska"), ("bmp", "image/bmp"),
        ("tif", "image/tiff"), ("tiff", "image/tiff"), ("heic", "image/heic"), ("jxl", "image/jxl"),
        ("dcm", "application/dicom"), ("hl7", "x-application/hl7-v2+er7"), ("p7m", "application/pkcs7-mime"),
        ("crt", "application/x-x509-ca-cert"), ("cer", "application/pkix-cert"), ("crl", "application/pkix-crl"),
    ]
}
