import LibCrypto
package import Postgres

/// What a decision on the keys rests on, from one reading of the database: the keys, the clock, and the settings in force.
package struct RingReading: Sendable {
    /// In this order; behind the ring's lock where something is written.
    static let statements = [SigningKeySQL.all, RevocationSQL.ground]

    package let keys: [SigningKey]
    package let clock: ClockReading
    package let inForce: SettingsInForce
    /// How the nodes make keys; nil where none has told.
    package let keeping: KeyKeeping?

    /// The algorithms whose keys are kept up: those of the nodes' settings and those `asked` for by clients. Where no node
    /// has ticked for so long that none is known, whatever signs stays as it is.
    func algorithms(_ asked: Set<SignatureAlgorithm>) -> Set<SignatureAlgorithm> {
        let known = inForce.algorithmsInUse
        guard known.isEmpty else { return known.union(asked) }
        return asked.union(SignatureAlgorithm.allCases.filter { KeySchedule.lastSigner(keys, $0) != nil })
    }

    /// To be held against the node's own clock.
    let sample: SteadyClock.Sample

    /// The database's own clock: what is made is told by it, however far the steady one is ahead.
    package var rawNow: Instant { sample.raw }

    /// - Parameters:
    ///   - results: of `statements`.
    ///   - begun: the boot clock before they were sent.
    init(_ results: some RandomAccessCollection<ResultSet>, begun: BootInstant) throws(PostgresError) {
        let ended = BootInstant.now()
        guard let all = results.first, let row = try results.last?.one(), results.count == 2 else {
            throw .unexpectedRowCount(results.count)
        }
        var keys: [SigningKey] = []
        for row in all.rows { keys.append(try SigningKey(row)) }
        self.keys = keys
        clock = try ClockReading(row)
        inForce = try SettingsInForce(row)
        keeping = try KeyKeeping(row)
        sample = SteadyClock.Sample(raw: try row.decode("raw"), reading: clock, begun: begun, ended: ended)
    }
}
