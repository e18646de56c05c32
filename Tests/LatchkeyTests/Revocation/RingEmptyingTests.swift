import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("Emptying the rings")
struct RingEmptyingTests {
    private func withDatabase(_ body: (Database) async throws -> Void) async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let database = Database.patient(connectionString)
            defer { database.shutDown() }
            try await body(database)
        }
    }

    private func now(_ database: Database) async throws -> Instant {
        try await database.query("SELECT clock_timestamp() AS now").one().decode("now")
    }

    /// Slots in the middle of those that are spent: the clock's next step makes no difference.
    private func spentEntrySlot(_ database: Database) async throws -> Int16 {
        let horizon: Int64 = try await database.query(
            "SELECT longest_access_token + 300 AS seconds FROM installation"
        ).one().decode("seconds")
        return RevocationRing.spentSlots(now: try await now(database), horizonSeconds: horizon)[2]
    }

    private func insertEntry(_ database: Database, slot: Int16, seq: Int64, left seconds: Int64) async throws {
        try await database.query(
            """
            INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
            VALUES (\(slot), \(seq), 1, gen_random_uuid(), clock_timestamp() + \(seconds) * interval '1 second')
            """)
    }

    private func seqs(_ database: Database) async throws -> [Int64] {
        var seqs: [Int64] = []
        for row in try await database.query("SELECT seq FROM revocation_entries ORDER BY seq").rows {
            seqs.append(try row.decode("seq"))
        }
        return seqs
    }

    @Test("takes the entries of a spent slot, not those of others, and not where one is alive")
    func entries() async throws {
        try await withDatabase { database in
            let ring = RevocationRing(database, clock: NodeClock())
            #expect(try await ring.emptySpentSlots() == 0)
            let slot = try await spentEntrySlot(database)
            let (beside, current) = ((slot + 1) % 16, (slot + 4) % 16)
            for seq: Int64 in 1...3 { try await insertEntry(database, slot: slot, seq: seq, left: -1) }
            try await insertEntry(database, slot: beside, seq: 4, left: -1)
            // Of a time when the horizon was another: still alive, so the whole slot stays.
            try await insertEntry(database, slot: beside, seq: 5, left: 3600)
            try await insertEntry(database, slot: current, seq: 6, left: -1)
            #expect(try await ring.emptySpentSlots() == 1)
            #expect(try await seqs(database) == [4, 5, 6])
            #expect(try await ring.emptySpentSlots() == 0)
        }
    }

    @Test("does not wait for who reads: a queued lock would stop every reader behind it")
    func doesNotWait() async throws {
        try await withDatabase { database in
            let ring = RevocationRing(database, clock: NodeClock())
            let slot = try await spentEntrySlot(database)
            try await insertEntry(database, slot: slot, seq: 1, left: -1)
            try await database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT count(*) FROM \("revocation_entries", slot: slot)")
                #expect(try await ring.emptySpentSlots() == 0)
                #expect(try await seqs(database) == [1])
                try await transaction.commit()
            }
            #expect(try await ring.emptySpentSlots() == 1)
        }
    }

    private func insertSession(
        _ database: Database, slot: Int16, left seconds: Int64, age: Int64 = 100 * 86_400
    ) async throws {
        let born = try await now(database) - age
        let sid = UniqueID.version7(millisecondsSince1970: born.milliseconds, random: SecureRandom.bytes(10))
        try await database.query(
            """
            INSERT INTO sessions (
                slot, rid, sid, user_id, client_id, gen, conf, conf_at, issued_at, idle_until, max_until, auth_time, audience)
            SELECT \(slot), substring(sha256(random()::text::bytea) FOR 16), \(sid), gen_random_uuid(),
                   'first-party', 1, 0, now, now, max, max, now, ARRAY['x']
            FROM (SELECT clock_timestamp() AS now, clock_timestamp() + \(seconds) * interval '1 second' AS max) AS at
            """)
    }

    @Test("takes the sessions of the next slot, unless one of them or a token of it may be alive")
    func sessions() async throws {
        try await withDatabase { database in
            let policy = SessionPolicy(idleTTL: 60, maxTTL: 3600, grace: 30, recovery: 60)
            let ring = SessionRing(database, policy: policy)
            let slot = SessionRing.spentSlot(now: try await now(database), policy: policy)
            #expect(try await ring.emptySpentSlot() == false)
            func count() async throws -> Int64 {
                try await database.query("SELECT count(*) AS count FROM sessions").one().decode("count")
            }
            try await insertSession(database, slot: slot, left: -10)
            try await insertSession(database, slot: (slot + 8) % 16, left: -10)
            #expect(try await ring.emptySpentSlot())
            #expect(try await count() == 1)
            // A life that another setting allowed, and one whose last access token may be alive.
            try await database.query("UPDATE installation SET longest_access_token = 600")
            for left: Int64 in [3600, -10] {
                try await insertSession(database, slot: slot, left: left)
                #expect(try await ring.emptySpentSlot() == false)
            }
            #expect(try await count() == 3)
        }
    }

    @Test(arguments: [3600, -3600] as [Int64])
    func `A slot is kept while a session lives by the earlier of both clocks`(lead: Int64) async throws {
        try await withDatabase { database in
            let policy = SessionPolicy(idleTTL: 60, maxTTL: 3600, grace: 30, recovery: 60)
            let ring = SessionRing(database, policy: policy)
            // The steady clock runs ahead of the database's, or is not settled behind it.
            try await database.query(
                """
                INSERT INTO node_ticks (node, version, master_keys, ticked_at, seen_at, stepped_at, stepped_from)
                VALUES (gen_random_uuid(), 'x', '{1}', clock_timestamp(), clock_timestamp() + greatest(\(lead), 0) * interval '1 second',
                        CASE WHEN \(lead) < 0 THEN clock_timestamp() END,
                        CASE WHEN \(lead) < 0 THEN clock_timestamp() + \(lead) * interval '1 second' END)
                """)
            try await database.query(
                "UPDATE installation SET longest_publish_lead = 86400, longest_access_token = 600")
            let earlier = lead > 0 ? try await now(database) : try await now(database) + lead
            let slot = SessionRing.spentSlot(now: earlier, policy: policy)
            // Dead for the later one of both.
            try await insertSession(database, slot: slot, left: lead > 0 ? 1800 : -1800)
            #expect(try await ring.emptySpentSlot() == false)
            try await database.query(
                """
                UPDATE sessions
                SET idle_until = idle_until - interval '3 hours', max_until = max_until - interval '3 hours'
                """)
            #expect(try await ring.emptySpentSlot())
        }
    }

    @Test func `A slot is kept while what a node of other settings bore in it is young, alive or not`() async throws {
        try await withDatabase { database in
            let policy = SessionPolicy(idleTTL: 60, maxTTL: 3600, grace: 30, recovery: 60)
            let ring = SessionRing(database, policy: policy)
            let slot = SessionRing.spentSlot(now: try await now(database), policy: policy)
            // Dead at the look before the lock; who is born after it is seen under it, by the time in the sid.
            for _ in 0..<3 { try await insertSession(database, slot: slot, left: -10) }
            try await insertSession(database, slot: slot, left: -10, age: 300)
            for _ in 0..<3 { try await insertSession(database, slot: slot, left: -10) }
            #expect(try await ring.emptySpentSlot() == false)
            try await database.query(
                "DELETE FROM sessions WHERE sid = (SELECT sid FROM sessions ORDER BY sid DESC LIMIT 1)")
            #expect(try await ring.emptySpentSlot())
        }
    }

    @Test func `A slot that holds something alive is not locked, and one that was looked through is looked at again`()
        async throws
    {
        try await withDatabase { database in
            let ring = RevocationRing(database, clock: NodeClock())
            let slot = try await spentEntrySlot(database)
            for seq: Int64 in 1...2 {
                try await insertEntry(database, slot: slot, seq: seq, left: seq == 1 ? -1 : 3600)
            }
            try await database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT count(*) FROM \("revocation_entries", slot: slot)")
                #expect(try await ring.emptySpentSlots { slot, _ in Issue.record("locked: \(slot)") } == 0)
                try await transaction.commit()
            }
            // The second came between the look and the lock.
            #expect(try await ring.empty(slot, lookedThroughTo: 1) == .alive)
            #expect(try await seqs(database) == [1, 2])
            #expect(try await ring.empty(slot, lookedThroughTo: 2) == .emptied)
            #expect(try await seqs(database).isEmpty)
        }
    }

    @Test func `A slot that cannot be emptied is told of, and the others are emptied`() async throws {
        try await withDatabase { database in
            let ring = RevocationRing(database, clock: NodeClock())
            let slot = try await spentEntrySlot(database)
            for seq: Int64 in 1...2 { try await insertEntry(database, slot: slot + Int16(seq) - 1, seq: seq, left: -1) }
            try await database.query(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    RAISE EXCEPTION 'not now';
                END
                $$
                """)
            try await database.query(
                """
                CREATE TRIGGER refusal BEFORE TRUNCATE ON \("revocation_entries", slot: slot)
                FOR EACH STATEMENT EXECUTE FUNCTION refuse()
                """)
            var left: [Int16] = []
            let emptied = try await ring.emptySpentSlots { slot, error in
                left.append(slot)
                #expect((error as? PostgresError)?.sqlState == "P0001")
            }
            #expect(left == [slot])
            #expect(emptied == 1)
            #expect(try await seqs(database) == [1])
        }
    }

    @Test("forgets nodes of yesterday, and batches that had a successor a day ago")
    func forgets() async throws {
        try await withDatabase { database in
            try await database.batch([
                "DELETE FROM feed_batches",
                """
                INSERT INTO feed_batches (seq, digest, at)
                SELECT seq, '', clock_timestamp() - make_interval(hours => hours)
                FROM (VALUES (1, 50), (2, 26), (3, 25), (4, 23)) AS batch (seq, hours)
                """,
                """
                INSERT INTO node_ticks (node, version, master_keys, ticked_at)
                VALUES (gen_random_uuid(), 'old', '{1}', clock_timestamp() - interval '25 hours'),
                       (gen_random_uuid(), 'new', '{1}', clock_timestamp())
                """,
            ])
            func left() async throws -> [Int64] {
                var seqs: [Int64] = []
                for row in try await database.query("SELECT seq FROM feed_batches ORDER BY seq").rows {
                    seqs.append(try row.decode("seq"))
                }
                return seqs
            }
            let ring = RevocationRing(database, clock: NodeClock())
            try await ring.forgetOld()
            #expect(try await left() == [3, 4])
            let version: String = try await database.query("SELECT min(version) AS version FROM node_ticks").one()
                .decode("version")
            #expect(version == "new")
            // The head stays, however old; more than one statement takes go as well.
            try await database.query(
                """
                INSERT INTO feed_batches (seq, digest, at)
                SELECT seq, '', clock_timestamp() - interval '2 days' FROM generate_series(5, 2600) AS seq
                """)
            try await database.query("UPDATE feed_batches SET at = at - interval '2 days'")
            try await ring.forgetOld()
            #expect(try await left() == [2600])
        }
    }
}
