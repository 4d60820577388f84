/// What a session allows its peer; sent as SETTINGS (RFC 9113 §6.5.2).
public struct HTTP2Limits: Sendable {
    /// Streams that the peer may have open at once.
    public var concurrentStreams: UInt32 = 128
    /// Bytes of a field section, counted as HPACK does (RFC 9113 §10.5.1).
    public var fieldSectionBytes = 65_536
    /// Body bytes that a stream may have waiting here.
    public var streamWindow: Int32 = 131_072
    /// Body bytes that all streams together may have waiting here.
    public var connectionWindow: Int32 = 524_288

    /// The defaults.
    public init() {}
}
