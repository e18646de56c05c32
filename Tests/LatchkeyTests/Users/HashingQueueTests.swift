import Testing

@testable import Latchkey

@Suite("The hashing queue")
struct HashingQueueTests {
    static let second: Int64 = 1_000_000_000

    /// A job of 100 units of cost; at the assumed rate of a millisecond a unit it takes 100 ms.
    let job: Argon2Parameters

    init() throws {
        job = try Argon2Parameters(memoryKiB: 100, iterations: 1, parallelism: 1)
    }

    func queue(
        threads: Int = 1, capacity: Int = 100, wait: Int64 = second, budget: Int = 1_000
    ) -> HashingQueue<String> {
        HashingQueue(
            limits: .init(
                threads: threads, capacity: capacity, waitLimit: wait, memoryBudgetKiB: budget,
                assumedNanosecondsPerUnit: 1_000_000))
    }

    @Test("gives turns in order of arrival, no more at a time than threads")
    func order() {
        var queue = queue(threads: 2)
        for (id, name) in ["a", "b", "c"].enumerated() {
            #expect(queue.arrive(name, id: UInt64(id), parameters: job, now: 0) == .accepted)
        }
        #expect(queue.nextTurn(now: 0).ran == "a")
        #expect(queue.nextTurn(now: 0).ran == "b")
        #expect(queue.nextTurn(now: 0).isNothing)
        #expect(queue.finished(id: 0, now: 1) == .moreWaits)
        #expect(queue.nextTurn(now: 1).ran == "c")
        #expect(queue.finished(id: 1, now: 2) == .idle)
        #expect(queue.runningCount == 1)
    }

    @Test("refuses as it arrives what could not start in time")
    func prediction() {
        var queue = queue(wait: Self.second)
        #expect(queue.arrive("first", id: 0, parameters: job, now: 0) == .accepted)
        #expect(queue.nextTurn(now: 0).ran == "first")
        // One runs, so the next waits 100 ms, the one after it 200: ten may wait a second, the eleventh may not.
        for id in 1...10 {
            #expect(queue.predictedWait == Int64(id) * 100_000_000)
            #expect(queue.arrive("", id: UInt64(id), parameters: job, now: 0) == .accepted)
        }
        #expect(queue.arrive("", id: 11, parameters: job, now: 0) == .refused(predictedWait: 1_100_000_000))
        #expect(queue.waitingCount == 10)
    }

    @Test("refuses none while a thread is free, however slow hashes were")
    func slowHashesDoNotLockOut() {
        var queue = queue(wait: 1)
        _ = queue.arrive("slow", id: 0, parameters: job, now: 0)
        _ = queue.nextTurn(now: 0)
        _ = queue.finished(id: 0, now: 3_600 * Self.second)
        #expect(queue.predictedWait == 0)
        #expect(queue.arrive("next", id: 1, parameters: job, now: 0) == .accepted)
    }

    @Test("learns from what hashes take, by their cost")
    func learning() throws {
        var queue = queue(wait: 100 * Self.second)
        let dear = try Argon2Parameters(memoryKiB: 100, iterations: 10, parallelism: 1)
        for id in 0..<100 as Range<UInt64> {
            _ = queue.arrive("", id: id, parameters: id % 2 == 0 ? job : dear, now: 0)
            _ = queue.nextTurn(now: 0)
            // 2 ms a unit, twice what was assumed, whatever the job costs.
            _ = queue.finished(id: id, now: id % 2 == 0 ? 200_000_000 : 2_000_000_000)
        }
        _ = queue.arrive("", id: 100, parameters: job, now: 0)
        #expect(abs(queue.predictedWait - 200_000_000) < 1_000_000)
    }

    @Test("is bounded in number, whatever the prediction says")
    func capacity() {
        var queue = queue(capacity: 2, wait: 1_000 * Self.second)
        #expect(queue.arrive("a", id: 0, parameters: job, now: 0) == .accepted)
        #expect(queue.arrive("b", id: 1, parameters: job, now: 0) == .accepted)
        #expect(queue.arrive("c", id: 2, parameters: job, now: 0) == .refused(predictedWait: 200_000_000))
        _ = queue.cancel(id: 0)
        #expect(queue.arrive("d", id: 3, parameters: job, now: 0) == .accepted)
    }

    @Test("drops what is past its deadline, not what is at it", arguments: [(second, false), (second + 1, true)])
    func deadline(now: Int64, late: Bool) {
        var queue = queue(wait: Self.second)
        _ = queue.arrive("a", id: 0, parameters: job, now: 0)
        let turn = queue.nextTurn(now: now)
        #expect(turn.expired == (late ? "a" : nil))
        #expect(turn.ran == (late ? nil : "a"))
        #expect(queue.waitingCount == 0)
    }

    @Test("never gives a turn to a job that was cancelled")
    func cancellation() {
        var queue = queue(threads: 2)
        for id in 0..<3 as Range<UInt64> { _ = queue.arrive("\(id)", id: id, parameters: job, now: 0) }
        #expect(queue.nextTurn(now: 0).ran == "0")
        #expect(queue.cancel(id: 0).removed == nil)
        #expect(queue.cancel(id: 1).removed == "1")
        #expect(queue.cancel(id: 1).removed == nil)
        #expect(queue.cancel(id: 99).removed == nil)
        #expect(queue.nextTurn(now: 0).ran == "2")
        #expect(queue.waitingCount == 0)
    }

    @Test("forgets a million callers that hung up")
    func hangUps() {
        var queue = queue()
        for id in 0..<1_000_000 as Range<UInt64> {
            guard queue.arrive("x", id: id, parameters: job, now: 0) == .accepted else { break }
            _ = queue.cancel(id: id)
        }
        #expect(queue.waitingCount == 0)
        #expect(queue.predictedWait == 0)
        #expect(queue.rememberedIDs <= 66)
    }

    @Test("holds back what its memory budget cannot hold, without overtaking")
    func memory() throws {
        var queue = queue(threads: 4, budget: 250)
        let small = try Argon2Parameters(memoryKiB: 50, iterations: 1, parallelism: 1)
        for id in 0..<3 as Range<UInt64> { _ = queue.arrive("\(id)", id: id, parameters: job, now: 0) }
        _ = queue.arrive("small", id: 3, parameters: small, now: 0)
        #expect(queue.nextTurn(now: 0).ran == "0")
        #expect(queue.nextTurn(now: 0).ran == "1")
        #expect(queue.nextTurn(now: 0).isNothing)
        #expect(queue.finished(id: 0, now: 0) == .moreWaits)
        #expect(queue.nextTurn(now: 0).ran == "2")
        #expect(queue.nextTurn(now: 0).ran == "small")
    }

    @Test("computes one that is beyond the whole budget alone")
    func memoryOfOne() throws {
        var queue = queue(threads: 2, wait: 3_600 * Self.second, budget: 150)
        let huge = try Argon2Parameters(memoryKiB: 10_000, iterations: 1, parallelism: 1)
        _ = queue.arrive("huge", id: 0, parameters: huge, now: 0)
        _ = queue.arrive("next", id: 1, parameters: job, now: 0)
        #expect(queue.nextTurn(now: 0).ran == "huge")
        #expect(queue.nextTurn(now: 0).isNothing)
        #expect(queue.finished(id: 0, now: 0) == .moreWaits)
        #expect(queue.nextTurn(now: 0).ran == "next")
    }

    @Test("once stopped gives back what waited and takes nothing")
    func stop() {
        var queue = queue()
        for id in 0..<4 as Range<UInt64> { _ = queue.arrive("\(id)", id: id, parameters: job, now: 0) }
        _ = queue.nextTurn(now: 0)
        _ = queue.cancel(id: 2)
        #expect(queue.stop() == ["1", "3"])
        #expect(queue.arrive("late", id: 9, parameters: job, now: 0) == .stopped)
        #expect(queue.nextTurn(now: 0).isStopped)
        #expect(queue.cancel(id: 1).removed == nil)
        #expect(queue.finished(id: 0, now: 0) == .idle)
        #expect(queue.stop() == [])
    }
}

extension HashingQueue.Turn {
    fileprivate var ran: Payload? { if case .run(let payload) = self { payload } else { nil } }
    fileprivate var expired: Payload? { if case .expired(let payload) = self { payload } else { nil } }
    fileprivate var isNothing: Bool { if case .nothing = self { true } else { false } }
    fileprivate var isStopped: Bool { if case .stopped = self { true } else { false } }
}

extension HashingQueue.Cancellation {
    fileprivate var removed: Payload? { if case .removed(let payload) = self { payload } else { nil } }
}
