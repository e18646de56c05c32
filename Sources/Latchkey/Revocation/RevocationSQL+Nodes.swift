import JOSE
package import Postgres

/// The statements on `node_ticks` and `installation`.
extension RevocationSQL {
    /// - Parameters:
    ///   - carried: what the node's steady clock reads by its boot clock; nil before it has read one.
    ///   - step: the last step of the database's clock that it noticed and that is not settled yet.
    static func tick(
        node: UniqueID, version: String, masterKeys: [Int16], settings: SettingsInForce, carried: Instant?,
        step: SteadyClock.Step?
    ) -> Query {
        """
        INSERT INTO node_ticks (
            node, version, master_keys, ticked_at, seen_at, stepped_at, stepped_from, access_token, publish_lead, max_age,
            leeway, failover, algorithm)
        SELECT \(node), \(version), \(masterKeys), c.raw, GREATEST(c.steady, \(carried)), \(step?.at), \(step?.from),
               \(settings.accessToken), \(settings.publishLead), \(settings.maxAge), \(settings.leeway),
               \(settings.failover), \(settings.algorithms.first)
        FROM steady_clock() AS c
        ON CONFLICT (node) DO UPDATE
        SET version = excluded.version, master_keys = excluded.master_keys, ticked_at = excluded.ticked_at,
            seen_at = excluded.seen_at, stepped_at = excluded.stepped_at, stepped_from = excluded.stepped_from
        """
    }

    /// Of ticks by settings whose tokens and caches may still be out; by the steady clock, since the database's may have
    /// jumped over the time between.
    private static let isRecent: StaticString = """
        COALESCE(t.seen_at, t.ticked_at) > c.settled
            - (i.longest_publish_lead + i.longest_access_token + i.longest_leeway) * interval '1 second'
        """

    /// Columns of the settings in force, `i` being the installation and `c` the clock.
    static let inForce: StaticString = """
        i.longest_access_token, i.longest_publish_lead, i.longest_max_age, i.longest_leeway, i.failover,
        ARRAY(
            SELECT DISTINCT t.algorithm FROM node_ticks t
            WHERE t.algorithm IS NOT NULL AND t.seen_at > c.settled
                - (i.longest_publish_lead + i.longest_access_token + i.longest_leeway) * interval '1 second'
        ) AS algorithms
        """

    /// Clock and settings, for a decision: after the last lock.
    static let ground: Query = """
        SELECT c.steady AS now, c.raw, c.steady, c.settled, \(literal: inForce), i.rotation_interval,
               i.signing_algorithm, i.keys_held_by
        FROM installation i, steady_clock() AS c
        """

    /// The same before the first tick of a node; `known_lead` in microseconds: by how much the clock was ahead of the
    /// database's for whoever has told of the largest time.
    static let groundAtStart: Query = """
        SELECT c.raw, c.steady, c.settled, \(literal: inForce),
               COALESCE((
                   SELECT (extract(epoch FROM t.seen_at - t.ticked_at) * 1000000)::bigint
                   FROM node_ticks t
                   WHERE t.seen_at IS NOT NULL
                   ORDER BY t.seen_at DESC
                   LIMIT 1
               ), 0) AS known_lead
        FROM installation i, steady_clock() AS c
        """

    /// Nothing that is out depends on these, so they are not widened: the node that started last has its own written down.
    static func keep(_ keeping: KeyKeeping) -> Query {
        """
        UPDATE installation
        SET rotation_interval = \(keeping.rotationInterval), signing_algorithm = \(keeping.algorithm),
            keys_held_by = \(keeping.holder)
        WHERE rotation_interval IS DISTINCT FROM \(keeping.rotationInterval)
           OR signing_algorithm IS DISTINCT FROM \(keeping.algorithm) OR keys_held_by IS DISTINCT FROM \(keeping.holder)
        """
    }

    /// The same, and whoever else widens or narrows the settings waits.
    static let lockSettings: Query = "SELECT single FROM installation FOR UPDATE"

    /// What nodes have served by so lately that it counts; a version that does not tell says NULL.
    static let recentSettings: Query = """
        SELECT DISTINCT t.access_token, t.publish_lead, t.max_age, t.leeway, t.failover, t.algorithm
        FROM node_ticks t, installation i, steady_clock() AS c
        WHERE \(literal: isRecent)
        """

    static func setSettings(_ settings: SettingsInForce) -> Query {
        """
        UPDATE installation
        SET longest_access_token = \(settings.accessToken), longest_publish_lead = \(settings.publishLead),
            longest_max_age = \(settings.maxAge), longest_leeway = \(settings.leeway),
            failover = \(settings.failover)
        """
    }

    /// A node's row is needed as long as its settings count.
    static let forgetOldNodes: Query = """
        DELETE FROM node_ticks
        WHERE node IN (
            SELECT t.node
            FROM node_ticks t, installation i, steady_clock() AS c
            WHERE COALESCE(t.seen_at, t.ticked_at) < c.settled - interval '24 hours' AND NOT \(literal: isRecent))
        """
}

extension RevocationList {
    /// Widens the row so far that a node may serve by `own`. Called behind a tick that told of them: who narrows the row
    /// meanwhile has seen that tick, or is waited for.
    package func widen(by own: SettingsInForce) async throws {
        try await pulse.transaction { transaction in
            let ground = try await transaction.batch([RevocationSQL.lockSettings, RevocationSQL.ground])[1]
            let inForce = try SettingsInForce(ground.one())
            if !inForce.covers(own) { try await transaction.query(RevocationSQL.setSettings(inForce.widened(by: own))) }
        }
    }

    /// Reads the clock before this node's first tick writes a row: in that one what it has not noticed yet would stand as if
    /// it were known.
    ///
    /// - Returns: the step that it shows, and for how many seconds that settles.
    func readClock() async throws(PostgresError) -> (step: SteadyClock.Step?, settling: Int64) {
        let begun = BootInstant.now()
        let row = try await pulse.query(RevocationSQL.groundAtStart).one()
        let sample = SteadyClock.Sample(
            raw: try row.decode("raw"), reading: try ClockReading(row), begun: begun, ended: .now(),
            knownLead: try row.decode("known_lead"))
        let settling = try SettingsInForce(row).settling
        return (clock.take(sample, settling: settling), settling)
    }

    /// Writes down how this node makes and rotates keys, for commands.
    package func keep(_ keeping: KeyKeeping) async throws(PostgresError) {
        try await pulse.query(RevocationSQL.keep(keeping))
    }

    /// Narrows the row to what nodes have served by since what was handed out by wider settings can be alive.
    /// - Returns: whether it was wider.
    @discardableResult
    package func narrow() async throws -> Bool {
        try await database.transaction { transaction in
            let results = try await transaction.batch([
                RevocationSQL.lockSettings, RevocationSQL.ground, RevocationSQL.recentSettings,
            ])
            let inForce = try SettingsInForce(results[1].one())
            var recent: [SettingsInForce] = []
            for row in results[2].rows {
                // A node of a version that does not tell may serve by anything.
                guard let settings = try SettingsInForce(tick: row) else { return false }
                recent.append(settings)
            }
            var narrow = inForce.narrowed(to: recent)
            narrow.algorithms = inForce.algorithms
            guard narrow != inForce else { return false }
            try await transaction.query(RevocationSQL.setSettings(narrow))
            return true
        }
    }
}

extension SettingsInForce {
    fileprivate init?(tick row: ResultSet.Row) throws(PostgresError) {
        guard let accessToken = try row.decodeIfPresent("access_token", as: Int64.self),
            let publishLead = try row.decodeIfPresent("publish_lead", as: Int64.self),
            let maxAge = try row.decodeIfPresent("max_age", as: Int64.self),
            let leeway = try row.decodeIfPresent("leeway", as: Int64.self),
            let failover = try row.decodeIfPresent("failover", as: String.self)
        else { return nil }
        self.init(
            accessToken: accessToken, publishLead: publishLead, maxAge: maxAge, leeway: leeway, failover: failover,
            algorithms: try row.decodeIfPresent("algorithm", as: String.self).map { [$0] } ?? [])
    }
}
