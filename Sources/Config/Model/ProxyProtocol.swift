/// How a server is told whose connection it gets.
public enum ProxyProtocol: String, Sendable, CaseIterable {
    /// One line of text.
    case v1
    /// Binary; it also tells what the client has agreed on by TLS.
    case v2
}
