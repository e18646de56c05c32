internal import Dispatch
internal import Foundation
package import LibCrypto
internal import Synchronization

/// Why a password was not hashed.
package enum HashingRejection: Error, Sendable, Equatable {
    /// More is asked for than this node computes in time. RFC 9110 §10.2.3: the seconds are for Retry-After.
    case overloaded(retryAfterSeconds: Int)
    /// The task was cancelled while its job waited; nothing was computed.
    case cancelled
    /// The hash was made with a pepper whose master key this node does not hold; another may.
    case pepperMissing
}

/// What passwords are hashed with beside their salts (RFC 9106 §3.1, K): a key from outside the database, so that a stolen
/// dump cannot be guessed at. By the version of the master key that it is derived from.
package struct PasswordPepper: Sendable {
    /// nil: new hashes are made without.
    let current: @Sendable () -> Int16?
    /// nil for a version that this node does not hold.
    let key: @Sendable (Int16) -> SecretBytes?

    package init(current: @escaping @Sendable () -> Int16?, key: @escaping @Sendable (Int16) -> SecretBytes?) {
        self.current = current
        self.key = key
    }

    package static let none = PasswordPepper(current: { nil }, key: { _ in nil })
}

/// What comparing a password with a stored hash came to.
package enum PasswordVerdict: Sendable, Equatable {
    case matches
    /// It matches a hash weaker than the settings'. Compute the new one with `hash` after the answer, and store it
    /// only over the same old one.
    case matchesNeedsUpgrade
    case differs
}

/// Computes argon2id on threads of its own, under a budget of memory. `HashingQueue` decides, this class carries out.
///
/// Unknown, disabled and passwordless accounts queue and hash like any other, and whatever fails is answered at a
/// whole multiple of the quantum after its turn began, so that the time of an answer does not say why it failed. (A
/// stored hash of other parameters than the settings' still tells itself by a multiple, until its next login.)
package final class PasswordHasher: Sendable {
    package struct Configuration: Sendable {
        package var parameters: Argon2Parameters
        /// Memory for all hashes at the same time, in KiB. Threads: as many as it holds, at most `cores`, at least 1.
        package var memoryBudgetKiB: Int
        package var cores: Int
        /// How long a job may wait for its turn.
        package var queueWait: Duration
        /// How many jobs may wait, at about 2 KiB each.
        package var queueCapacity: Int
        /// What failures are rounded up to.
        package var failureQuantum: Duration
        package var pepper: PasswordPepper

        package init(
            parameters: Argon2Parameters = .standard,
            memoryBudgetKiB: Int = 262_144,
            cores: Int = ProcessInfo.processInfo.activeProcessorCount,
            queueWait: Duration = .seconds(2),
            queueCapacity: Int = 1_024,
            failureQuantum: Duration = .milliseconds(25),
            pepper: PasswordPepper = .none
        ) {
            self.parameters = parameters
            self.memoryBudgetKiB = memoryBudgetKiB
            self.cores = cores
            self.queueWait = queueWait
            self.queueCapacity = queueCapacity
            self.failureQuantum = failureQuantum
            self.pepper = pepper
        }

        var threads: Int { max(1, min(cores, memoryBudgetKiB / parameters.memoryKiB)) }

        /// Half of the wait is for what the prediction errs by: who was let in is served.
        var limits: HashingQueue<HashingRoom.Job>.Limits {
            .init(
                threads: threads, capacity: queueCapacity, waitLimit: queueWait.nanoseconds,
                admissionLimit: queueWait.nanoseconds / 2, memoryBudgetKiB: memoryBudgetKiB)
        }
    }

    /// What it is at, for the metrics.
    package struct Load: Sendable, Equatable {
        package let waiting: Int
        package let running: Int
        package let threads: Int
    }

    package let parameters: Argon2Parameters
    private let quantum: Int64
    private let room: HashingRoom
    private let pepper: PasswordPepper
    /// What an account without a hash is compared with.
    private let dummy: (salt: [UInt8], tag: [UInt8])

    /// Starts the threads. They run until `shutdown`.
    package init(_ configuration: Configuration) {
        parameters = configuration.parameters
        pepper = configuration.pepper
        quantum = max(1, configuration.failureQuantum.nanoseconds)
        dummy = (SecureRandom.bytes(PHCString.saltLength), SecureRandom.bytes(PHCString.tagLength))
        room = HashingRoom(limits: configuration.limits)
    }

    package var load: Load { room.load }
    package var counted: (computed: Counter, refused: Counter) { (room.computed, room.refused) }

    /// Hashes with a fresh salt and the settings' parameters.
    package func hash(_ password: Password) async throws(HashingRejection) -> PHCString {
        let salt = SecureRandom.bytes(PHCString.saltLength)
        let version = pepper.current()
        let done = try await room.compute(
            .init(
                password: password, salt: salt, secret: try secret(version), parameters: parameters,
                tagLength: PHCString.tagLength))
        return PHCString(parameters: parameters, freshSalt: salt, freshTag: done.tag, pepperVersion: version)
    }

    private func secret(_ version: Int16?) throws(HashingRejection) -> SecretBytes? {
        guard let version else { return nil }
        guard let key = pepper.key(version) else { throw .pepperMissing }
        return key
    }

    /// Compares with a stored hash, or with nothing where the account is unknown, disabled or has no password: that
    /// costs the same and `differs`.
    package func verify(
        _ password: Password, against stored: PHCString?
    ) async throws(HashingRejection) -> PasswordVerdict {
        let done = try await room.compute(
            .init(
                password: password,
                salt: stored?.salt ?? dummy.salt,
                secret: try secret(stored?.pepperVersion),
                parameters: stored?.parameters ?? parameters,
                tagLength: stored?.tag.count ?? PHCString.tagLength))
        let isEqual = constantTimeEquals(done.tag, stored?.tag ?? dummy.tag)
        if let stored, isEqual {
            return stored.needsUpgrade(to: parameters, pepper: pepper.current()) ? .matchesNeedsUpgrade : .matches
        }
        // Who hangs up now has had the guess evaluated all the same: a `cancelled` would let them guess without end, since
        // one who shuts down only the sending half still reads the answer.
        try? await room.sleep(until: Self.answer(began: done.began, ended: done.ended, quantum: quantum))
        return .differs
    }

    /// Refuses what would be refused on arrival: asked before anything is spent on it, so that a flood of log ins costs
    /// no statement each.
    package func requireRoom() throws(HashingRejection) {
        try room.requireRoom()
    }

    /// Ends the threads once they are done with what runs; what waits is answered as overloaded, and so is all that
    /// comes later.
    package func shutdown() {
        room.shutdown()
    }

    /// When a failure is answered: the first whole multiple of the quantum after the turn began, at or after its end.
    static func answer(began: Int64, ended: Int64, quantum: Int64) -> Int64 {
        let spent = max(1, ended - began)
        return began + (spent + quantum - 1) / quantum * quantum
    }
}

extension Duration {
    /// Whole nanoseconds; durations here are far below the 292 years that fit.
    var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
