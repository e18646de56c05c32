import Foundation
import HTTPTypes
import Hummingbird
import JOSE
import LatchkeyTesting
import LibCrypto
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

@Suite(.eachAnswerCounts) struct MetricsPageTests {
    /// A port of loopback that nobody has now.
    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
            }
        }
        try #require(status == 0)
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func run(
        nodes: Int = 1,
        _ body: @Sendable (TestInstallation, _ page: @Sendable () async throws -> PrometheusText) async throws -> Void
    ) async throws {
        let port = try freePort()
        try await TestInstallation.run(settings: { $0.managementPort = port }) { it in
            try await body(it) {
                let answer = try await TestNode.send(.GET, "http://127.0.0.1:\(port)/metrics")
                #expect(answer.status == 200)
                #expect(answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
                return try PrometheusText(String(decoding: answer.body, as: UTF8.self))
            }
        }
    }

    @Test func `What no route sees is counted, by why`() async throws {
        try await Self.run { it, page in
            let open = try await RawCaller.connect(port: it.node.port)
            for bytes in ["GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET /x HTTP/1.1\r\n\r\n", "GET  HTTP\r\n\r\n"] {
                let caller = try await RawCaller.connect(port: it.node.port)
                caller.send(bytes)
                #expect(await caller.closes())
            }
            open.send(RawRequest.livez)
            #expect(await open.answers(1).count == 1)
            let text = try await page()
            for (reason, count) in [("field", 1.0), ("host", 1), ("request-line", 1), ("timeout", 0)] {
                #expect(text["latchkey_http_refused_total", ["reason": reason]] == count, "\(reason)")
            }
            #expect(text["latchkey_http_connections_closed_total", ["reason": "too-many"]] == 0)
            #expect(try #require(text["latchkey_http_connections"]) >= 1)
            await open.close()
        }
    }

    @Test func `What is done shows in the counters, by that much and nowhere else`() async throws {
        try await Self.run { it, page in
            let tokens = try await it.node.newUser("ada")
            let before = try await page()
            let next = try await it.node.refresh(tokens.refresh)
            let again = try await it.node.refresh(tokens.refresh)
            #expect(next.status == 200 && again.status == 200)
            let third = try await it.node.refresh(next.refresh)
            #expect(try await it.node.refresh(third.refresh).status == 200)
            #expect(try await it.node.refresh(tokens.refresh).status == 400, "a void token ends the session")
            #expect(try await it.node.refresh("lkr1.AAAA").status == 400)
            #expect(try await it.node.logIn("ada", "wrong horse").status == 401)
            #expect(try await it.node.logIn("nobody").status == 401)
            let other = try await it.node.logIn("ada")
            #expect(try await it.node.revoke(other.refresh).status == 200)
            #expect(try await it.node.revoke(other.refresh).status == 200, "revoked twice, ended once")
            #expect(try await it.node.get("/nowhere/ada").status == 404)
            let after = try await page()

            func moved(_ name: String, _ labels: [String: String] = [:]) -> Double {
                after[name, labels] - before[name, labels]
            }
            let decisions = ["advance": 3, "repeat": 1, "recover": 0, "void": 1, "rollback": 0, "refuse": 1]
            for (decision, count) in decisions {
                #expect(moved("latchkey_refreshes_total", ["decision": decision]) == Double(count), "\(decision)")
            }
            let outcomes = ["succeeded": 1, "refused": 2, "limited": 0, "overloaded": 0, "malformed": 0]
            for (outcome, count) in outcomes {
                #expect(moved("latchkey_log_ins_total", ["outcome": outcome]) == Double(count), "\(outcome)")
            }
            #expect(moved("latchkey_sessions_opened_total") == 1)
            #expect(moved("latchkey_sessions_ended_total", ["cause": "refresh-token-reused"]) == 1)
            #expect(moved("latchkey_sessions_ended_total", ["cause": "revoked"]) == 1)
            #expect(moved("latchkey_sessions_ended_total", ["cause": "logged-out"]) == 0)
            #expect(moved("latchkey_revocations_total", ["kind": "sid"]) == 2)
            #expect(moved("latchkey_hashes_total") == 3)
            // Four refreshes and one login.
            #expect(moved("latchkey_signatures_total") == 5)
            func requests(_ route: String, _ method: String, _ status: String) -> Double {
                moved("latchkey_http_requests_total", ["route": route, "method": method, "status": status])
            }
            #expect(requests("/oauth2/token", "POST", "200") == 4)
            #expect(requests("/oauth2/token", "POST", "400") == 2)
            #expect(requests("/auth/login", "POST", "401") == 2)
            #expect(requests("/oauth2/revoke", "POST", "200") == 2)
            #expect(requests("none", "GET", "404") == 1)
            #expect(moved("latchkey_http_request_duration_seconds_count", ["route": "/oauth2/token"]) == 6)
            #expect(moved("latchkey_database_statements_total", ["lane": "hot"]) >= 5)
            #expect(moved("latchkey_database_statements_total", ["lane": "revocations"]) == 2)
            #expect(moved("latchkey_database_group_size_sum", ["lane": "revocations"]) == 2)
            #expect(after["latchkey_http_requests_in_flight"] == 0)
            #expect(after["latchkey_feed_age_seconds"].map { (0..<2).contains($0) } == true)
            #expect(after["latchkey_revocations_held"] == 2)
            #expect(after["latchkey_clock_offset_seconds"].map { abs($0) < 2 } == true)
            #expect(after["latchkey_signing_keys", ["state": "active"]] == 1)
            #expect(after["latchkey_signing_keys_ripe", ["algorithm": "RS256"]] == 2)
            #expect(
                after.samples.keys.count { $0.name == "latchkey_signing_keys_ripe" } == 1, "nobody asks for another")
            #expect(after["process_resident_memory_bytes"].map { $0 > 10_000_000 } == true)
            #expect(after["process_cpu_seconds_total"].map { $0 > 0 } == true)
            #expect(after["process_open_fds"].map { $0 > 10 } == true)
            #expect(after["process_start_time_seconds"] == before["process_start_time_seconds"])
        }
    }

    @Test func `A revoked access token and a rotation show too`() async throws {
        try await Self.run { it, page in
            let tokens = try await it.node.newUser("ada")
            #expect(try await it.node.revoke(tokens.access).status == 200)
            let admin = try await it.node.administrator()
            #expect(try await it.node.post("/admin/keys/rotate", ["reason": "x"], bearer: admin).status == 202)
            let revoked = try await page()
            #expect(revoked["latchkey_revocations_total", ["kind": "jti"]] == 1)
            #expect(
                try await becomesTrue {
                    let now = try await page()
                    return now["latchkey_signing_keys", ["state": "retired"]] == 1
                        && now["latchkey_signing_keys", ["state": "published"]] == 2
                        && now["latchkey_signing_keys_ripe", ["algorithm": "RS256"]] == 1
                        && now["latchkey_feed_position"] == 1
                })
        }
    }

    @Test func `An algorithm without a ripe standby does not hide behind another`() async throws {
        try await Self.run { it, page in
            let asked = try await it.node.post(
                "/admin/clients",
                ["client_name": "a service", "scope": "users:read", "access_token_signed_response_alg": "ES256"],
                bearer: try await it.node.administrator())
            #expect(asked.status == 201)
            #expect(try await it.ripen(.es256))
            try await it.database.batch([
                """
                UPDATE signing_keys SET published_at = clock_timestamp() + interval '1 hour'
                WHERE algorithm = 'ES256' AND activates_at IS NULL
                """,
                "UPDATE signing_keys SET activates_at = activates_at - interval '1 day' WHERE algorithm = 'RS256'",
                "UPDATE key_ring SET version = version + 1",
            ])
            let shows = try await becomesTrue {
                let now = try await page()
                let (old, new) = (["algorithm": "RS256"], ["algorithm": "ES256"])
                return now["latchkey_signing_keys_ripe", old] == 2 && now["latchkey_signing_keys_ripe", new] == 0
                    && now["latchkey_signing_key_age_seconds", old] > 86_000
                    && now["latchkey_signing_key_age_seconds", new] < 3_600
                    && now.samples.keys.contains { $0.labels == new && $0.name == "latchkey_signing_keys_ripe" }
            }
            #expect(shows)
        }
    }

    @Test func `No secret, name, id or path of a caller's stands in the page`() async throws {
        try await Self.run { it, page in
            let tokens = try await it.node.newUser("canary-ada")
            _ = try await it.node.logIn("canary-nobody", "canary-password")
            _ = try await it.node.get("/canary-path/\(tokens["session_id"])?canary-query=1")
            _ = try await it.node.send(.RAW(value: "CANARY"), "/auth/login")
            _ = try await it.node.get("/account/sessions/canary-id", bearer: tokens.access)
            _ = try await it.node.revoke(tokens.refresh)
            let texts = try await page().samples.keys.flatMap { [$0.name] + $0.labels.keys + $0.labels.values }
            let user = try await it.database.query("SELECT id FROM users").one().decode("id", as: UniqueID.self).text
            let position = try #require(it.node.installation.revocations.position)
            let forbidden =
                ["canary", "CANARY", "correct", tokens.access, tokens.refresh, tokens["session_id"], user]
                + [it.node.installation.node.text, position.epoch.text] + it.node.installation.ring.keys.map(\.kid)
            for word in forbidden {
                #expect(!texts.contains { $0.contains(word) }, "\(word)")
            }
            // So that the search above can find something.
            #expect(texts.contains { $0.contains("/account/sessions/{sid}") })
        }
    }

    @Test func `The public port does not serve it, and the management port serves nothing else`() async throws {
        let port = try Self.freePort()
        try await TestInstallation.run(settings: { $0.managementPort = port }) { it async throws in
            #expect(try await it.node.get("/metrics").status == 404)
            for path in ["/.well-known/jwks.json", "/account", "/oauth2/token", "/"] {
                #expect(try await TestNode.send(.GET, "http://127.0.0.1:\(port)\(path)").status == 404, "\(path)")
            }
            #expect(try await TestNode.send(.POST, "http://127.0.0.1:\(port)/metrics").status == 405)
            for path in ["/livez", "/readyz"] {
                #expect(try await TestNode.send(.GET, "http://127.0.0.1:\(port)\(path)").status == 200, "\(path)")
            }
        }
    }

    @Test(arguments: [
        (true, true, 0.0, 200, "ok", "ok", "ok"), (true, true, 1.99, 200, "ok", "ok", "ok"),
        (true, true, 2.0, 200, "ok", "ok", "apart"), (true, true, -2.5, 200, "ok", "ok", "apart"),
        (false, true, 0, 503, "stale", "ok", "ok"), (true, false, 0, 503, "ok", "no signing key", "ok"),
        (false, false, 99, 503, "stale", "no signing key", "apart"),
    ])
    func `Readiness says of each check how it stands`(
        isFresh: Bool, canSign: Bool, offset: Double, status: Int, revocations: String, key: String, clock: String
    ) throws {
        let readiness = Readiness(isFresh: isFresh, canSign: canSign, clockOffset: offset)
        let response = readiness.response
        #expect(response.status.code == status)
        #expect(response.headers[.retryAfter] == (status == 503 ? "1" : nil))
        let body = try #require(readiness.body.object)
        #expect(body["status"]?.string == (status == 200 ? "ready" : "unready"))
        let checks = try #require(body["checks"]?.object)
        #expect(checks["revocations"]?.string?.hasPrefix(revocations) == true)
        #expect(checks["signing_key"]?.string?.hasPrefix(key) == true)
        #expect(checks["clock"]?.string == clock)
        #expect((body["warnings"]?.array?.count ?? 0) == (clock == "ok" ? 0 : 1))
    }
}
