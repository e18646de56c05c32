import LatchkeyTesting
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// The calls that a lane made, each held until it is let go.
private final class Calls: Sendable {
    private struct State {
        var groups: [[Int]] = []
        var held: [CheckedContinuation<Result<Void, PostgresError>, Never>] = []
    }

    private let state = Mutex(State())

    var groups: [[Int]] { state.withLock { $0.groups } }

    func make(_ items: [Int]) async throws(PostgresError) -> [Int] {
        let result = await withCheckedContinuation { held in
            state.withLock { state in
                state.groups.append(items)
                state.held.append(held)
            }
        }
        try result.get()
        return items.map { $0 * 10 }
    }

    /// Ends the oldest call that is held.
    func end(_ result: Result<Void, PostgresError> = .success(())) async -> Bool {
        let hasCome = await becomesTrue { self.state.withLock { !$0.held.isEmpty } }
        guard hasCome else { return false }
        state.withLock { $0.held.removeFirst() }.resume(returning: result)
        return true
    }
}

@Suite("The lane of guess slots", .timeLimit(.minutes(8)))
struct GuessLaneTests {
    private let calls = Calls()
    private let lane: GuessLane<Int, Int>

    init() {
        let calls = calls
        // How long they wait here is the machine's affair.
        lane = GuessLane(patience: .seconds(3600)) { items throws(PostgresError) in try await calls.make(items) }
    }

    private func ask(_ item: Int) -> Task<Result<Int, PostgresError>, Never> {
        Task {
            do throws(PostgresError) { return .success(try await lane.answer(to: item)) } catch {
                return .failure(error)
            }
        }
    }

    @Test func `sends what comes alone at once and alone`() async {
        for item in 1...3 {
            let task = ask(item)
            #expect(await calls.end())
            #expect(await task.value == .success(item * 10))
        }
        #expect(calls.groups == [[1], [2], [3]])
    }

    /// One call in flight, and `waiting` who wait for its end.
    private func scene(_ waiting: ClosedRange<Int>) async -> [Task<Result<Int, PostgresError>, Never>] {
        var tasks = [ask(0)]
        _ = await becomesTrue { calls.groups.count == 1 }
        for item in waiting {
            tasks.append(ask(item))
            _ = await becomesTrue { lane.waitingCount == item }
        }
        return tasks
    }

    @Test func `sends all that waits in one call, each answered with its own`() async {
        let tasks = await scene(1...20)
        #expect(await calls.end())
        #expect(await calls.end())
        for (item, task) in tasks.enumerated() { #expect(await task.value == .success(item * 10)) }
        #expect(calls.groups == [[0], Array(1...20)])
    }

    @Test func `keeps a call to its largest group`() async {
        let largest = GuessLane<Int, Int>.largestGroup
        let tasks = await scene(1...(largest + 5))
        for _ in 0..<3 { #expect(await calls.end()) }
        for (item, task) in tasks.enumerated() { #expect(await task.value == .success(item * 10)) }
        #expect(calls.groups.map(\.count) == [1, largest, 5])
    }

    @Test func `tells everybody who waits when a call fails, and goes on with the next who comes`() async {
        let tasks = await scene(1...5)
        #expect(await calls.end(.failure(.unknownOutcome)))
        #expect(await tasks[0].value == .failure(.unknownOutcome))
        // They were never sent: that their slots are not taken is known.
        for task in tasks.dropFirst() { #expect(await task.value == .failure(.unavailable(.cannotConnect))) }
        let next = ask(7)
        #expect(await calls.end())
        #expect(await next.value == .success(70))
        #expect(calls.groups == [[0], [7]])
    }

    @Test func `tells a whole group that its outcome is unknown`() async {
        let tasks = await scene(1...5)
        #expect(await calls.end())
        #expect(await calls.end(.failure(.unknownOutcome)))
        #expect(await tasks[0].value == .success(0))
        for task in tasks.dropFirst() { #expect(await task.value == .failure(.unknownOutcome)) }
    }

    @Test func `does not send those whose patience a slow call has used up`() async {
        let calls = calls
        let hasty = GuessLane<Int, Int>(patience: .milliseconds(50)) { items throws(PostgresError) in
            try await calls.make(items)
        }
        func ask(_ item: Int) -> Task<Result<Int, PostgresError>, Never> {
            Task {
                do throws(PostgresError) { return .success(try await hasty.answer(to: item)) } catch {
                    return .failure(error)
                }
            }
        }
        let slow = ask(0)
        #expect(await becomesTrue { calls.groups.count == 1 })
        let late = ask(1)
        #expect(await becomesTrue { hasty.waitingCount == 1 })
        let since = ContinuousClock.now
        #expect(await becomesTrue { ContinuousClock.now - since > .milliseconds(100) })
        #expect(await calls.end())
        #expect(await slow.value == .success(0))
        #expect(await late.value == .failure(.unavailable(.leaseTimedOut)))
        #expect(calls.groups == [[0]])
    }

    @Test func `answers a caller whose task was cancelled like any other`() async {
        let tasks = await scene(1...2)
        for task in tasks { task.cancel() }
        #expect(await calls.end())
        #expect(await calls.end())
        for (item, task) in tasks.enumerated() { #expect(await task.value == .success(item * 10)) }
    }
}
