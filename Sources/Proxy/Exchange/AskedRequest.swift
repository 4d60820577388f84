import HTTP

/// What of a request decides what becomes of it, at hand without its head.
struct AskedRequest {
    var method = HTTP.Method.get
    var majorVersion = 1
    var minorVersion = 1
    var framing = BodyFraming.none
    var keepAlive = true
    /// Whether it asks for another protocol, which is allowed as far as is known.
    var upgrades = false
    /// Whether it authenticates its connection.
    var authenticates = false

    /// What is known before there is a request.
    init() {}

    init(_ head: borrowing RequestHead) {
        method = head.method
        majorVersion = head.majorVersion
        minorVersion = head.minorVersion
        framing = head.framing
        keepAlive = head.keepAlive
        upgrades = head.upgrade != nil
        authenticates = ConnectionAuthentication.isUsed(by: head)
    }

    var hasBody: Bool { framing != .none && framing != .length(0) }
}
