public import Config

extension ProviderAnswer {
    /// What the configuration answers to the five questions, as of the day of the audit.
    public static func list(_ provider: Provider, today: CalendarDay) -> [ProviderAnswer] {
        ProviderQuestion.allCases.map { question in
            guard let answer = provider.answers[question.key] else {
                return ProviderAnswer(question: question, state: .open, answer: nil, by: nil, on: nil)
            }
            return ProviderAnswer(
                question: question,
                state: answer.on.value.isOverAYear(before: today) ? .stale : .answered,
                answer: answer.answer,
                by: answer.by,
                on: answer.on.value.description
            )
        }
    }
}

extension ProviderQuestion {
    /// The key that answers it in `[provider]`.
    var key: Provider.Question {
        switch self {
        case .dataCentre: .dataCentre
        case .contract: .contract
        case .backup: .backup
        case .access: .access
        case .disposal: .disposal
        }
    }
}
