/// A server's part in a handshake, from a plain hello on.
protocol HandshakeAnswer: AnyObject {
    /// What both have agreed on.
    var terms: HandshakeTerms { get }
    /// Whether an earlier session goes on.
    var isResumed: Bool { get }
    /// Records that are due, which are the taker's from then on.
    func takeOutput() -> [UInt8]
    /// Takes the next record of the client.
    ///
    /// - Parameter record: with its head, and whole.
    /// - Returns: whether the handshake is complete.
    func take(_ header: RecordHeader, _ record: [UInt8]) throws(HandshakeRefusal) -> Bool
    /// How long a record is, with its head; one that cannot be right is refused before it has come.
    func check(_ header: RecordHeader) throws(HandshakeRefusal) -> Int
    /// The record of a fatal alert; empty when the library fails.
    func alert(_ alert: AlertDescription) -> [UInt8]
    /// The keys of the traffic; once, at the end. Nil when the library fails.
    func start(_ secrets: TrafficSecrets) -> RecordLayer.Start?
    /// What is to be said under the keys of the traffic, before anything else: a ticket. Empty for nothing.
    func lastMessage() -> [UInt8]
}

/// Why a handshake ends without success.
struct HandshakeRefusal: Error {
    /// What the client is told; nil when it has ended the handshake itself.
    let alert: AlertDescription?
    let error: TLSError

    init(_ alert: AlertDescription, _ reason: String) { self.init(alert, .handshake(reason)) }

    init(_ alert: AlertDescription, _ error: TLSError) {
        self.alert = alert
        self.error = error
    }

    /// The client has ended it.
    init(endedBy error: TLSError) {
        alert = nil
        self.error = error
    }
}
