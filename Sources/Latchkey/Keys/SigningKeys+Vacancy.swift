package import Postgres

/// Where nobody signs: the last key was declared compromised, and none could be made to follow it.
extension SigningKeys {
    package func nobodySigns() async throws(PostgresError) -> Bool {
        let ring = try await read()
        return KeySchedule.nobodySigns(ring.keys, at: ring.clock.now)
    }

    /// Makes a key that signs, in the steps of the schedule: it is published, read committed, and signs. Nodes that serve do
    /// the same by their worker; one that starts could not wait for that.
    ///
    /// - Parameter onSteps: told what was done, each time.
    /// - Throws: why none can be made here, or why none of those that are there signs.
    package func endVacancy(origin: Origin, onSteps: ([KeySchedule.Step]) -> Void = { _ in }) async throws {
        // Another node may be a step ahead. What fails may not be what is needed: a key of another algorithm, say.
        var failure: (any Error)?
        for _ in 0..<Self.mostSteps {
            guard try await nobodySigns() else { return }
            do {
                onSteps(try await carryOutDue(origin: origin))
            } catch {
                if error is CancellationError || error is PostgresError { throw error }
                failure = error
            }
        }
        guard try await nobodySigns() else { return }
        if let failure { throw failure }
        let keys = try await read().keys
        for key in keys where key.isStandby { try await prove(key, among: keys) }
        throw SigningKeyError.noSigner
    }

    /// Three are needed.
    private static let mostSteps = 10
}
