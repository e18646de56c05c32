import LatchkeyTesting
import Testing

/// The tests look at each answer of a node: a 503 is not asked again.
struct EachAnswerCounts: SuiteTrait, TestTrait, TestScoping {
    let isRecursive = true

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await TestNode.$asksAgain.withValue(false, operation: function)
    }
}

extension Trait where Self == EachAnswerCounts {
    static var eachAnswerCounts: Self { Self() }
}
