import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite struct SessionCensusTests {
    @Test func `It counts the living, and of those whose newest token is of the time asked for`() async throws {
        try await TestInstallation.run { it in
            var born: [TestNode.Answer] = [try await it.node.newUser("alice")]
            for _ in 0..<4 { born.append(try await it.node.logIn("alice")) }
            #expect(try await it.node.revoke(born[0].refresh).status == 200)
            try await it.age(born[1], seconds: 300)
            // Idle for too long: dead, though nobody ended it.
            try await it.database.query(
                """
                UPDATE sessions SET idle_until = clock_timestamp() - interval '1 second' WHERE sid = \(try born[2].sid)
                """)
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            let sessions = it.node.installation.sessions
            for (start, end, issued) in [
                (now - 60, now, 2), (now - 600, now, 3), (now - 600, now - 200, 1), (now, now, 0), (now, now - 60, 0),
            ] {
                let census = try await sessions.census(from: start, until: end)
                #expect(census == SessionCensus(alive: 3, issued: Int64(issued), isExact: true))
            }
        }
    }

    @Test func `Of very many it reads a sample, and comes near`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            try await it.database.query(
                """
                INSERT INTO sessions (
                    slot, rid, sid, user_id, client_id, gen, conf, conf_at, issued_at, idle_until, max_until, auth_time,
                    audience)
                SELECT s.slot, uuid_send(gen_random_uuid()), gen_random_uuid(), s.user_id, s.client_id, 1, 0, s.conf_at,
                       s.issued_at - (n % 2) * interval '1 hour', s.idle_until, s.max_until, s.auth_time, s.audience
                FROM sessions s, generate_series(1, 20000) AS n
                WHERE s.sid = \(try tokens.sid)
                """)
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            let sessions = it.node.installation.sessions
            let whole = try await sessions.census(from: now - 600, until: now)
            #expect(whole == SessionCensus(alive: 20_001, issued: 10_001, isExact: true))
            let sample = try await sessions.census(from: now - 600, until: now, pages: 100)
            #expect(sample.isExact == false)
            #expect((10_000...32_000).contains(sample.alive), "\(sample)")
            #expect(sample.issued * 3 > sample.alive && sample.issued * 3 < sample.alive * 2, "\(sample)")
            // Their ends need no entries on the list.
            try await it.database.query("DELETE FROM sessions WHERE sid <> \(try tokens.sid)")
        }
    }
}
