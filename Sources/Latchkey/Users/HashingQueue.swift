/// Which hash is computed next, and which is refused: a value without threads, clocks or I/O. Instants are nanoseconds
/// of one monotonic clock; every event takes `now` and answers with an enum of its own.
///
/// The queue is bounded three ways. A job that could not start within `waitLimit`, by what the hashes of late have
/// taken, is refused as it arrives: under a flood the answer is a 503 at once, not one after the limit. A job whose
/// time has come only after the limit is dropped. And no more than `capacity` wait, whatever the prediction says.
package struct HashingQueue<Payload> {
    package struct Limits: Sendable, Equatable {
        /// Hashes computed at the same time, at least 1.
        package var threads: Int
        /// Jobs that may wait, at least 1.
        package var capacity: Int
        /// How long a job may wait for its turn, in nanoseconds.
        package var waitLimit: Int64
        /// What its predicted wait may be when it arrives, in nanoseconds. Below `waitLimit`, because a prediction errs: one
        /// that was let in and then not served has waited for nothing.
        package var admissionLimit: Int64
        /// Memory for all hashes that run at the same time, in KiB. One alone may exceed it: a stored hash may ask
        /// for more than the settings do, and its owner must be able to log in.
        package var memoryBudgetKiB: Int
        /// What a KiB of one pass takes before anything was measured, in nanoseconds.
        package var assumedNanosecondsPerUnit: Double

        package init(
            threads: Int, capacity: Int, waitLimit: Int64, admissionLimit: Int64? = nil, memoryBudgetKiB: Int,
            assumedNanosecondsPerUnit: Double = 500
        ) {
            self.threads = max(1, threads)
            self.capacity = max(1, capacity)
            self.waitLimit = max(0, waitLimit)
            self.admissionLimit = min(self.waitLimit, admissionLimit ?? self.waitLimit)
            self.memoryBudgetKiB = memoryBudgetKiB
            self.assumedNanosecondsPerUnit = assumedNanosecondsPerUnit
        }
    }

    package enum Arrival: Sendable, Equatable {
        case accepted
        /// It could not start in time. The wait is what the prediction says, in nanoseconds.
        case refused(predictedWait: Int64)
        case stopped
    }

    package enum Turn {
        /// Compute this one, then say `finished`.
        case run(Payload)
        /// Its deadline has passed: answer it without hashing, and ask again.
        case expired(Payload)
        /// Nothing can start now: nothing waits, or its memory is in use.
        case nothing
        /// No turn will ever come: the thread ends.
        case stopped
    }

    package enum Completion: Sendable, Equatable {
        /// Jobs wait: a thread that found nothing may find one now.
        case moreWaits
        case idle
    }

    package enum Cancellation {
        /// It was waiting and never will be computed: answer it.
        case removed(Payload)
        /// It runs, is done, or never came: there is nothing to do.
        case notWaiting
    }

    fileprivate struct Job {
        let payload: Payload
        let parameters: Argon2Parameters
        let deadline: Int64
    }

    package let limits: Limits
    private var waiting: [UInt64: Job] = [:]
    /// Ids in order of arrival from `first` on. Those of cancelled jobs stand on until they are passed or swept.
    private var order: [UInt64] = []
    private var first = 0
    private var running: [UInt64: (parameters: Argon2Parameters, since: Int64)] = [:]
    private var waitingCost: Int64 = 0
    private var nanosecondsPerUnit: Double
    private var isStopped = false

    package init(limits: Limits) {
        self.limits = limits
        nanosecondsPerUnit = limits.assumedNanosecondsPerUnit
    }

    package var waitingCount: Int { waiting.count }
    package var runningCount: Int { running.count }
    /// Ids kept for the order of turns, those of cancelled jobs included.
    var rememberedIDs: Int { order.count }

    /// How long a job that arrived now would wait for its turn, in nanoseconds.
    ///
    /// By cost, not by count: one stored hash of a hundred times the cost must not make a hundred logins look slow.
    package var predictedWait: Int64 {
        guard running.count + waiting.count >= limits.threads else { return 0 }
        let threads = Double(limits.threads)
        // Of `threads` that are at work the first is done after about their mean cost, divided by their number.
        let runningCost = running.values.reduce(Int64(0)) { $0 + $1.parameters.cost }
        let units = (Double(waitingCost) + Double(runningCost) / threads) / threads
        return Int64(min(units * nanosecondsPerUnit, 1e15))
    }

    /// What a job that arrived now would be refused with: its predicted wait in nanoseconds; nil where it would be taken.
    package var refusal: Int64? {
        let wait = predictedWait
        return isStopped || wait > limits.admissionLimit || waiting.count >= limits.capacity ? wait : nil
    }

    /// A job arrives. `id` is the caller's, and never used twice.
    package mutating func arrive(_ payload: Payload, id: UInt64, parameters: Argon2Parameters, now: Int64) -> Arrival {
        guard !isStopped else { return .stopped }
        if let wait = refusal { return .refused(predictedWait: wait) }
        waiting[id] = Job(payload: payload, parameters: parameters, deadline: now + limits.waitLimit)
        waitingCost += parameters.cost
        order.append(id)
        sweep()
        return .accepted
    }

    /// A thread is free. Jobs get their turn in order of arrival: one that waits for memory is not overtaken, or
    /// small ones would starve it.
    package mutating func nextTurn(now: Int64) -> Turn {
        guard !isStopped else { return .stopped }
        while first < order.count {
            let id = order[first]
            guard let job = waiting[id] else {
                first += 1
                continue
            }
            let isLate = now > job.deadline
            if !isLate {
                let memoryInUse = running.values.reduce(0) { $0 + $1.parameters.memoryKiB }
                guard running.count < limits.threads,
                    running.isEmpty || memoryInUse + job.parameters.memoryKiB <= limits.memoryBudgetKiB
                else { return .nothing }
            }
            first += 1
            waiting[id] = nil
            waitingCost -= job.parameters.cost
            sweep()
            guard !isLate else { return .expired(job.payload) }
            running[id] = (job.parameters, now)
            return .run(job.payload)
        }
        return .nothing
    }

    /// A job that ran is done, well or not.
    package mutating func finished(id: UInt64, now: Int64) -> Completion {
        if let job = running.removeValue(forKey: id) {
            let measured = Double(max(0, now - job.since)) / Double(job.parameters.cost)
            nanosecondsPerUnit += (measured - nanosecondsPerUnit) / 8
        }
        return waiting.isEmpty ? .idle : .moreWaits
    }

    /// The caller of a job has gone.
    package mutating func cancel(id: UInt64) -> Cancellation {
        guard let job = waiting.removeValue(forKey: id) else { return .notWaiting }
        waitingCost -= job.parameters.cost
        return .removed(job.payload)
    }

    /// Nothing is taken or started from now on. Answers what waited, in order of arrival.
    package mutating func stop() -> [Payload] {
        isStopped = true
        let left = order[first...].compactMap { waiting[$0]?.payload }
        waiting = [:]
        waitingCost = 0
        order = []
        first = 0
        return left
    }

    /// Drops passed and cancelled ids now and then, so that a flood of callers that hang up cannot grow `order`. Each
    /// sweep pays for as many arrivals as it moves ids.
    private mutating func sweep() {
        guard order.count > 2 * waiting.count + 64 else { return }
        order = order[first...].filter { waiting[$0] != nil }
        first = 0
    }
}

extension HashingQueue: Sendable where Payload: Sendable {}
extension HashingQueue.Job: Sendable where Payload: Sendable {}
extension HashingQueue.Turn: Sendable where Payload: Sendable {}
extension HashingQueue.Cancellation: Sendable where Payload: Sendable {}
