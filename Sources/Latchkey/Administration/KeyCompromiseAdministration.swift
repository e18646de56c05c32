package import Hummingbird
package import JOSE
import LatchkeyHummingbird
import Postgres

/// `/admin/keys/{kid}/compromise` and `/admin/keys/{kid}/restore`.
package struct KeyCompromiseAdministration: Sendable {
    private let compromises: KeyCompromises
    private let sessions: Sessions

    package init(_ compromises: KeyCompromises, sessions: Sessions) {
        self.compromises = compromises
        self.sessions = sessions
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/admin/keys/{kid}/compromise") { request, context in
            try context.require(scope: "keys:compromise")
            let kid = try context.pathParameter("kid")
            let body = try await JSONBody.ifPresent(request)
            guard try body?.optionalBool("confirm") == true, let body else {
                return Response.json(try await foresee(kid), caching: .noStore)
            }
            let (answer, position) = try await compromise(
                kid, reason: try body.string("reason"), origin: context.origin)
            return Response.json(answer, status: .accepted, caching: .noStore).at(position)
        }
        router.post("/admin/keys/{kid}/restore") { request, context in
            try context.require(scope: "keys:compromise")
            let reason = try await JSONBody.ifPresent(request)?.optionalString("reason")
            let (answer, position) = try await restore(
                try context.pathParameter("kid"), reason: reason, origin: context.origin)
            return Response.json(answer, caching: .noStore).at(position)
        }
    }

    /// What declaring the key compromised would do. Nothing is changed.
    package func foresee(_ kid: String) async throws -> JSONValue {
        let foresight = try await compromises.foresee(kid)
        let key = foresight.key
        // Only the newest token of a session is known of, and none of those that clients got for themselves. A key's times
        // are the steady clock's, a token's the database's.
        func raw(_ instant: Instant) -> Instant { Instant(microseconds: instant.microseconds - foresight.lead) }
        let start = max(key.activatesAt ?? foresight.now, foresight.now - foresight.policy.lifetime)
        let end = min(key.retiresAt ?? foresight.now, foresight.now)
        return foresight.json(try await sessions.census(from: raw(start), until: raw(end)))
    }

    package func compromise(
        _ kid: String, reason: String, origin: Origin
    ) async throws -> (answer: JSONValue, position: FeedPosition) {
        let outcome = try await compromises.compromise(kid, reason: reason, origin: origin)
        let answer = JSONObject([
            ("kid", .string(outcome.kid)), ("state", .string(SigningKeyState.compromised.rawValue)),
            ("compromised_at", .instant(outcome.since)), ("already_compromised", .bool(outcome.novelty == .already)),
            ("signs_next", outcome.signsNext), ("nobody_signs", outcome.leavesNobody ? true : nil),
            ("why", outcome.unmade.map { .string($0) }),
            ("warnings", outcome.warnings.isEmpty ? nil : .array(outcome.warnings.map { .string($0) })),
        ])
        return (.object(answer), outcome.position)
    }

    package func restore(
        _ kid: String, reason: String?, origin: Origin
    ) async throws -> (answer: JSONValue, position: FeedPosition) {
        let restored = try await compromises.restore(kid, reason: reason, origin: origin)
        return (["kid": .string(restored.kid), "state": .string(restored.state.rawValue)], restored.position)
    }
}

extension JSONValue {
    fileprivate static func instant(_ instant: Instant) -> JSONValue {
        .string(RFC3339.text(microseconds: instant.microseconds))
    }
}

extension KeyCompromises.Outcome {
    fileprivate var signsNext: JSONValue? {
        guard let takeover else { return nil }
        let (opens, why): (JSONValue?, JSONValue?) =
            switch opening {
            case .opens: (true, nil)
            case .fails(let why): (false, .string(why))
            case .unknown, nil: (nil, nil)
            }
        return .object(JSONObject(takeover.members + [("opens", opens), ("why", why)]))
    }

    /// What is to be done now, in sentences.
    fileprivate var warnings: [String] {
        if leavesNobody {
            return [
                """
                No key of its algorithm is left to sign, and none could be made here. Where another algorithm signs, tokens go \
                on by that; else the first key that a node makes signs at once, known to no verifier yet. Mend what keeps it \
                from being made; or, where a PKCS #11 token is gone for good, restart a node with settings of another one or \
                of none.
                """
            ]
        }
        guard let takeover, case .fails = opening else { return [] }
        return [
            """
            \(takeover.kid) does not open here: nobody signs unless it opens on another node. Mend what keeps it closed; or \
            declare it compromised too, and the next one follows.
            """
        ]
    }
}

extension KeyCompromise.Takeover {
    fileprivate var members: [(String, JSONValue?)] {
        var members: [(String, JSONValue?)] = [("kid", .string(kid)), ("activates_at", .instant(at))]
        switch standing {
        case .ripe: members.append(("ripe", true))
        case .unripe(let ripeAt): members += [("ripe", false), ("ripe_at", ripeAt.map { .instant($0) })]
        }
        return members
    }
}

extension KeyCompromises.Foresight {
    private var takeover: KeyCompromise.Takeover? {
        if case .compromise(let change) = decision { change.takeover } else { nil }
    }

    /// Without a tick for so long a node judges no token at all: by then each knows, or answers 503. In seconds.
    private var nodesKnow: Int64 { RevocationList.staleAfter / 1_000_000_000 }

    /// The last old JWKS was fetched from a node just before its next tick, and was kept for `max-age`.
    private var cachesKnow: Int64 { policy.maxAge + nodesKnow }

    /// A node that is cut off from the database goes on serving its JWKS until that is `longestRingAge` old.
    private var lastCacheKnows: Int64 { max(cachesKnow, policy.longestRingAge + policy.maxAge) }

    fileprivate func json(_ census: SessionCensus) -> JSONValue {
        .object(
            JSONObject([
                ("kid", .string(key.kid)), ("state", .string(key.state(at: now).rawValue)),
                ("already_compromised", .bool(key.compromisedAt != nil)),
                ("compromised_at", key.compromisedAt.map { .instant($0) }),
                ("signs_next", takeover.map { .object(JSONObject($0.members)) }),
                ("sessions", .integer(census.alive)), ("tokens_alive", .integer(census.issued)),
                ("counted", .string(census.isExact ? "whole" : "sample")), ("nodes_know_within", .integer(nodesKnow)),
                ("jwks_caches_know_within", .integer(cachesKnow)),
                ("last_jwks_cache_knows_within", .integer(lastCacheKnows)),
                ("effects", .array(effects(census).map { .string($0) })),
            ]))
    }

    /// The same in sentences.
    private func effects(_ census: SessionCensus) -> [String] {
        if let since = key.compromisedAt {
            return ["It has been compromised since \(RFC3339.text(microseconds: since.microseconds)): nothing changes."]
        }
        let passedOver = unfit.map { "The standby \($0) does not open here and is passed over." }
        let untold = isUntold ? ["Whether it opens cannot be told here: LATCHKEY_PKCS11_MODULE is not set."] : []
        return [whoSigns] + untold + passedOver + [
            """
            Every node refuses its tokens within \(nodesKnow) s, and so does a verifier that follows the revocation list. \
            One that knows the JWKS alone accepts what it signs for \(cachesKnow) s, or \(lastCacheKnows) s if a node is \
            cut off from the database.
            """,
            """
            About \(census.issued) access tokens of sessions die with it, and those that clients got for themselves. \
            About \(census.alive) sessions stay: their clients recover by one refresh.
            """,
        ]
    }

    private var whoSigns: String {
        switch decision {
        case .noSuccessor:
            return """
                It signs, and no other key that opens here is there: one is made first, which no verifier knows. Where none \
                can be made a standby that does not open takes over, or nobody does, and nobody signs.
                """
        case .compromise, .already, .unknownKey: break
        }
        guard let takeover else { return "It does not sign, so nothing changes about who does." }
        switch takeover.standing {
        case .ripe: return "\(takeover.kid) signs in its place; every verifier that obeys max-age knows it."
        case .unripe(let ripeAt):
            // A copy of the JWKS from before it was published lasts as long as one from before this does.
            let youth = ripeAt.map { takeover.at - ($0 - policy.publishLead) } ?? 0
            let seconds = max(0, cachesKnow - youth / 1_000_000)
            return """
                \(takeover.kid) signs in its place without being ripe: a verifier that does not fetch the JWKS at an \
                unknown kid refuses new tokens for up to \(seconds) s, or \(lastCacheKnows) s if a node is cut off from \
                the database.
                """
        }
    }
}
