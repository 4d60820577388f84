/// What an answer to a plain request means.
struct PlainAnswer {
    enum Meaning: Equatable {
        /// Nothing is said in plain, or only that TLS is asked for.
        case refused(String)
        case redirected(String)
        /// As if encryption did not matter.
        case served(String)
        /// Others may be served.
        case unclear(String)
    }

    let meaning: Meaning
    /// The answer in a few words.
    let said: String
    private let evidence: [Fact]

    /// - Parameter isPortOfTLS: whether TLS is spoken at this port otherwise.
    init(_ answer: ProbedAnswer, isPortOfTLS: Bool) {
        switch answer {
        case .refusal(let how):
            meaning = .refused("it is not answered in HTTP")
            said = how
            evidence = [Fact("answer", how)]
        case .unreadable(let what):
            meaning = .unclear("what it is answered with cannot be read: \(what)")
            said = what
            evidence = [Fact("answer", what)]
        case .response(let response):
            let location = response.field("location")
            said = "status \(response.status)" + (location.map { ", \($0)" } ?? "")
            evidence = [Fact("status", "\(response.status)")] + (location.map { [Fact("Location", $0)] } ?? [])
            meaning = Self.meaning(response.status, location: location, isPortOfTLS)
        }
    }

    private static func meaning(_ status: Int, location: String?, _ isPortOfTLS: Bool) -> Meaning {
        switch status {
        case 426, 497: .refused("it is refused with \(status)")
        // With a text for people, this is how servers of TLS say it; elsewhere it is about this one request.
        case 400, 421:
            isPortOfTLS
                ? .refused("it is refused with \(status)")
                : .unclear("it is refused with \(status), which says nothing of other requests")
        case 300..<400 where location?.lowercased().hasPrefix("https://") ?? false:
            .redirected("it is redirected to https with \(status)")
        default: .served("it is answered with \(status)")
        }
    }

    /// The answer as a finding.
    func finding(_ check: Check, place: String, remedy: String) -> Finding {
        switch meaning {
        case .refused(let text), .redirected(let text):
            .holds(check, "a plain request to \(place): \(text)", evidence)
        case .served(let text):
            .fallsShort(check, "a plain request to \(place): \(text)", remedy: remedy, evidence)
        case .unclear(let text): .notChecked(check, "a plain request to \(place): \(text)", evidence)
        }
    }
}
