import Hummingbird
package import JOSE
import LatchkeyHummingbird
import Postgres

/// When a rotation that was asked for is made; else it is refused.
package enum RotationCondition: Sendable {
    /// A standby has stood for the lead: every verifier that obeys `max-age` holds it.
    case ripe
    /// And every verifier that names itself holds it: those show that do not obey.
    case verifiersAreReady
}

extension KeyAdministration {
    func addVerifiers(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/keys/verifiers") { _, context in
            try context.require(scope: "keys:read")
            return Response.json(try await use.overview().json, caching: .noStore)
        }
    }
}

extension KeyUse {
    /// - Throws: `Rejection.verifiersNotReady`.
    func requireKnown(_ kid: String) async throws {
        let overview = try await overview()
        let missing = SeenVerifier.without(kid, among: overview.verifiers, now: overview.now)
        guard missing.isEmpty else {
            throw Rejection.verifiersNotReady(kid: kid, verifiers: missing.map(\.name))
        }
    }
}

extension Instant {
    fileprivate var json: JSONValue { .string(RFC3339.text(microseconds: microseconds)) }
}

extension KeyUse.Overview {
    /// Who fetches the JWKS.
    package var json: JSONValue {
        let nameless = unnamed.map { fetches, lastAt -> JSONValue in
            ["fetches": .integer(fetches), "seen_at": lastAt.json]
        }
        return .object(JSONObject([("items", .array(verifiers.map(\.json))), ("unnamed", nameless)]))
    }
}

extension SeenVerifier {
    package var json: JSONValue {
        [
            "name": .string(name), "seen_at": seenAt.json, "fetches": .integer(fetches),
            "kids": .array(kids.map { .string($0) }), "source": source == .report ? "report" : "answer",
        ]
    }
}
