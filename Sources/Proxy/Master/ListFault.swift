import TLS

/// Why a file of revocation lists is good for less than it seems.
enum ListFault: Equatable {
    /// A list, and who has signed it.
    typealias Signed = (facts: RevocationListFacts, signer: RevocationListFacts.Signer)

    /// One list of it, by its issuer.
    case expired(String)
    case notYetValid(String, from: Int64)
    case forged(String)
    /// None of its lists is of anybody who is trusted.
    case strange

    /// - Parameter now: seconds since 1970.
    static func all(in lists: [Signed], now: Int64) -> [ListFault] {
        var faults: [ListFault] = []
        for (list, signer) in lists {
            if list.nextUpdate ?? now < now { faults.append(.expired(list.issuer)) }
            if list.thisUpdate > now { faults.append(.notYetValid(list.issuer, from: list.thisUpdate)) }
            if signer == .impostor { faults.append(.forged(list.issuer)) }
        }
        if !lists.isEmpty, lists.allSatisfy({ $0.signer == .stranger }) { faults.append(.strange) }
        return faults
    }

    func message(_ file: String) -> String {
        switch self {
        case .expired(let issuer):
            "the revocation list of \(issuer) in \"\(file)\" has expired"
        case .notYetValid(let issuer, _):
            "the revocation list of \(issuer) in \"\(file)\" is not valid yet"
        case .forged(let issuer):
            "the revocation list of \(issuer) in \"\(file)\" is not signed by that authority"
        case .strange: "no list in \"\(file)\" is signed by an authority that is trusted here"
        }
    }

    var consequence: String { self == .strange ? "" : ": whoever it is about is refused" }

    var fix: String {
        switch self {
        case .expired: "fetch the authority's present list"
        case .notYetValid: "check the clock, or wait"
        case .forged: "fetch the list of the authority that is trusted here"
        case .strange: "name the lists of those authorities"
        }
    }
}
