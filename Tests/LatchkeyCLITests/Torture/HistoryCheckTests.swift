import JOSE
import Testing

/// Whoever judges the history is judged here: by histories of a few operations in which one thing is wrong.
@Suite("The history's judge")
struct HistoryCheckTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let rule: HistoryCheck.Rule?
        let tell: @Sendable (inout Story) -> Void

        init(_ description: String, _ rule: HistoryCheck.Rule?, _ tell: @escaping @Sendable (inout Story) -> Void) {
            testDescription = description
            self.rule = rule
            self.tell = tell
        }
    }

    static let sid = Story.sid
    static let other = Story.other

    @Test("finds nothing where nothing is wrong", arguments: soundStories)
    func sound(it: Case) {
        var story = Story()
        it.tell(&story)
        #expect(story.broken == [])
    }

    @Test("finds what is wrong, and nothing else", arguments: brokenStories)
    func broken(it: Case) {
        var story = Story()
        it.tell(&story)
        let rule = it.rule
        #expect(story.broken.contains { $0 == rule }, "\(story.broken)")
        // Some wrongs show in more ways than one.
        #expect(story.broken.count <= 2, "\(story.broken)")
    }

    @Test("has a history for each of its rules")
    func everyRule() {
        #expect(Set(Self.brokenStories.compactMap(\.rule)) == Set(HistoryCheck.Rule.allCases))
    }
}
