/// What an answer to a plain request means.
struct PlainAnswer {
    private enum Meaning {
        case refused(String)
        case redirected(String)
        case served(String)
    }

    private let meaning: Meaning
    private let evidence: [Fact]

    /// - Parameter response: nil when there was none.
    init(_ response: ProbedResponse?) {
        guard let response else {
            meaning = .refused("it is not answered in HTTP")
            evidence = [Fact("answer", "none in HTTP")]
            return
        }
        let location = response.field("location")
        evidence = [Fact("status", "\(response.status)")] + (location.map { [Fact("Location", $0)] } ?? [])
        switch response.status {
        // 400 with a text for people is how servers of TLS say it; 421 and 426 name the reason.
        case 400, 421, 426, 497: meaning = .refused("it is refused with \(response.status)")
        case 300..<400 where location?.lowercased().hasPrefix("https://") ?? false:
            meaning = .redirected("it is redirected to https with \(response.status)")
        default: meaning = .served("it is answered with \(response.status)")
        }
    }

    /// Whether the request was answered as if encryption did not matter.
    var isServed: Bool {
        guard case .served = meaning else { return false }
        return true
    }

    /// The answer as a finding.
    func finding(_ check: Check, place: String, remedy: String) -> Finding {
        switch meaning {
        case .refused(let text), .redirected(let text):
            .holds(check, "a plain request to \(place): \(text)", evidence)
        case .served(let text):
            .fallsShort(check, "a plain request to \(place): \(text)", remedy: remedy, evidence)
        }
    }
}
