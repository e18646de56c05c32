import Postgres
import Synchronization

/// The slots' own lane: what arrives while one call is in flight forms the next. No timer, no added wait when idle, and
/// no task of its own: each call is made by the first of its group, who then passes the turn on.
final class GuessLane<Item: Sendable, Answer: Sendable>: Sendable {
    private enum Turn: Sendable {
        /// Make the call, for oneself and for these.
        case lead([Waiter])
        case answered(Result<Answer, PostgresError>)
    }

    private struct Waiter: Sendable {
        let item: Item
        let since: ContinuousClock.Instant
        let resume: CheckedContinuation<Turn, Never>
    }

    private struct State {
        var isCalling = false
        var waiting: [Waiter] = []
    }

    /// How many share a call at most, so that none runs long.
    static var largestGroup: Int { 128 }
    /// How many may wait.
    private static var capacity: Int { 10_000 }
    /// Whoever has waited longer is told so instead of being sent.
    private let patience: Duration

    private let state = Mutex(State())
    private let call: @Sendable ([Item]) async throws(PostgresError) -> [Answer]

    /// - Parameters:
    ///   - patience: where a call takes as long at most, nobody waits longer than twice of it for an answer.
    ///   - call: one round trip for a group; it answers each item, in their order.
    init(patience: Duration, _ call: @escaping @Sendable ([Item]) async throws(PostgresError) -> [Answer]) {
        self.patience = patience
        self.call = call
    }

    /// How many wait for the call in flight to end.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Not cancelled by the task's cancellation: a slot that may have been taken must be known of.
    func answer(to item: Item) async throws(PostgresError) -> Answer {
        let turn = await withCheckedContinuation { resume in
            let immediate: Turn? = state.withLock { state in
                guard state.isCalling else {
                    state.isCalling = true
                    return .lead([])
                }
                guard state.waiting.count < Self.capacity else {
                    return .answered(.failure(.unavailable(.tooManyWaiting)))
                }
                state.waiting.append(Waiter(item: item, since: .now, resume: resume))
                return nil
            }
            if let immediate { resume.resume(returning: immediate) }
        }
        switch turn {
        case .answered(let result): return try result.get()
        case .lead(let followers): return try await lead(item, followers)
        }
    }

    private func lead(_ item: Item, _ followers: [Waiter]) async throws(PostgresError) -> Answer {
        do throws(PostgresError) {
            let answers = try await call([item] + followers.map(\.item))
            guard answers.count == followers.count + 1 else { throw .unexpectedRowCount(answers.count) }
            passOn()
            for (follower, answer) in zip(followers, answers.dropFirst()) {
                follower.resume.resume(returning: .answered(.success(answer)))
            }
            return answers[0]
        } catch {
            // Nobody who waits will fare better for now, and was not sent: none hangs on behind a dead database.
            let waiting = state.withLock { state in
                state.isCalling = false
                defer { state.waiting = [] }
                return state.waiting
            }
            for follower in followers { follower.resume.resume(returning: .answered(.failure(error))) }
            for waiter in waiting {
                waiter.resume.resume(returning: .answered(.failure(.unavailable(.cannotConnect))))
            }
            throw error
        }
    }

    private func passOn() {
        let (late, next) = state.withLock { state in
            let now = ContinuousClock.now
            let late = state.waiting.prefix { now - $0.since > patience }
            state.waiting.removeFirst(late.count)
            let next = Array(state.waiting.prefix(Self.largestGroup))
            state.waiting.removeFirst(next.count)
            state.isCalling = !next.isEmpty
            return (late, next)
        }
        for waiter in late { waiter.resume.resume(returning: .answered(.failure(.unavailable(.leaseTimedOut)))) }
        next.first?.resume.resume(returning: .lead(Array(next.dropFirst())))
    }
}
