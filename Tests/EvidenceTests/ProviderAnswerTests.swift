import Config
import Evidence
import Testing

@Suite("Answers about the provider") struct ProviderAnswerTests {
    @Test func `answers are recent, stale or open as of the day of the audit`() throws {
        let text = """
            [provider]
            data_centre = { answer = "Frankfurt", by = "J. Weber", on = 2025-11-25 }
            contract = { answer = "2024-17", by = "Legal", on = "2025-11-24" }

            """
        let provider = Configuration.decode(try TOMLDocument.parse(Array(text.utf8))).configuration.provider
        let today = try #require(CalendarDay("2026-11-25"))
        let list = ProviderAnswer.list(provider, today: today)
        #expect(list.map(\.question) == ProviderQuestion.allCases)
        #expect(list.map(\.state) == [.answered, .stale, .open, .open, .open])
        #expect(list[0].answer == "Frankfurt" && list[0].by == "J. Weber" && list[0].on == "2025-11-25")
        #expect(list[4].answer == nil && list[4].by == nil && list[4].on == nil)
    }
}
