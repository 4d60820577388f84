import Bytes

/// Authentication that holds for a connection, not for a request: NTLM, and Negotiate as it is used for it (RFC 4559 §6).
///
/// What the server takes one connection for must never serve another client.
public enum ConnectionAuthentication {
    /// Whether the client authenticates the connection with this request.
    public static func isUsed(by request: borrowing RequestHead) -> Bool {
        guard request.fields.has(.authorization) else { return false }
        for index in 0..<request.fields.count where request.fields[index].id == .authorization {
            if isNamed(request.fields.value(index)) { return true }
        }
        return false
    }

    /// Whether the server asks for it.
    public static func isDemanded(by response: borrowing ResponseHead) -> Bool {
        guard response.status == 401 else { return false }
        for index in 0..<response.fields.count where response.fields[index].id == .wwwAuthenticate {
            if isNamed(response.fields.value(index)) { return true }
        }
        return false
    }

    /// The scheme comes first in a line; servers that offer several write a line for each.
    private static func isNamed(_ value: Span<UInt8>) -> Bool {
        isScheme("ntlm", value) || isScheme("negotiate", value)
    }

    private static func isScheme(_ scheme: StaticString, _ value: Span<UInt8>) -> Bool {
        let count = scheme.utf8CodeUnitCount
        guard value.count >= count, ASCII.equalIgnoringCase(value.extracting(0..<count), scheme) else { return false }
        return value.count == count || value[count] == 0x20 || value[count] == 0x2C
    }
}
