import LibCrypto
package import Hummingbird
package import JOSE
import LatchkeyHummingbird
package import Postgres

/// `/admin/keys…`.
package struct KeyAdministration: Sendable {
    private let keys: SigningKeys
    let use: KeyUse

    package init(_ keys: SigningKeys, use: KeyUse) {
        self.keys = keys
        self.use = use
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/keys") { _, context in
            try context.require(scope: "keys:read")
            return Response.page(try await list(), next: nil)
        }
        router.post("/admin/keys/rotate") { request, context in
            try context.require(scope: "keys:rotate")
            let body = try await JSONBody.ifPresent(request)
            let answer = try await rotate(
                from: try body?.optionalString("from"),
                when: try body?.optionalBool("wait_for_verifiers") == true ? .verifiersAreReady : .ripe,
                reason: try body?.optionalString("reason"), origin: context.origin)
            return Response.json(answer, status: .accepted, caching: .noStore)
        }
        addVerifiers(to: router)
    }

    package func list() async throws -> [JSONValue] {
        let ring = try await keys.read()
        let overview = try await use.overview()
        // What nodes serve by: whoever asks may have another lead.
        let lead = ring.inForce.publishLead
        return ring.keys.map { $0.json(at: ring.clock.now, lead: lead, use: overview) }
    }

    /// The key that signs now.
    package func signer() async throws -> String {
        let ring = try await keys.read()
        guard let signer = KeySchedule.signer(ring.keys, at: ring.clock.now, preferring: keys.algorithm(for: ring))
        else {
            throw SigningKeyError.noSigner
        }
        return signer.kid
    }

    /// - Parameters:
    ///   - from: nil: the key that signs now. It is named at once, so that two who ask at the same time mean the same one
    ///     and make one rotation.
    ///   - condition: what must be true of the key that will sign. Verifiers' own words, so nothing rests on it.
    /// - Throws: `Rejection.noRipeStandby`, `.verifiersNotReady`, `.notFound`.
    package func rotate(
        from kid: String?, when condition: RotationCondition = .ripe, reason: String?, origin: Origin
    ) async throws -> JSONValue {
        let from = if let kid { kid } else { try await signer() }
        if condition == .verifiersAreReady, case .rotate(_, let next, _) = try await keys.rotation(from: from) {
            try await use.requireKnown(next)
        }
        switch try await keys.rotate(from: from, reason: reason, origin: origin) {
        case .rotate(_, let kid, let at), .alreadyRotated(let kid, let at):
            return [
                "kid": .string(kid), "activates_at": .string(RFC3339.text(microseconds: at.microseconds)),
            ]
        case .noRipeStandby(let ripeAt):
            let ring = try await keys.read()
            // A key that is not even stamped yet will be within a second or two.
            let at = ripeAt ?? ring.clock.now + (keys.policy(for: ring).publishLead + 2)
            throw Rejection.noRipeStandby(ripeAt: RFC3339.text(microseconds: at.microseconds))
        case .unknownKey:
            throw Rejection.notFound(what: "signing key that signs or has signed")
        }
    }
}

extension SigningKey {
    package func json(at now: Instant, lead: Int64, use: KeyUse.Overview) -> JSONValue {
        func time(_ instant: Instant?) -> JSONValue? {
            instant.map { .string(RFC3339.text(microseconds: $0.microseconds)) }
        }
        let strangers = SeenVerifier.without(kid, among: use.verifiers, now: now).map { JSONValue.string($0.name) }
        return .object(
            JSONObject([
                ("kid", .string(kid)), ("alg", .string(publicKey.publicKey.algorithm.rawValue)),
                ("state", .string(state(at: now).rawValue)), ("created_at", time(createdAt)),
                ("published_at", time(publishedAt)), ("ripe_at", isStandby ? time(ripeAt(lead: lead)) : nil),
                ("activates_at", time(activatesAt)), ("retires_at", time(retiresAt)), ("leaves_at", time(leavesAt)),
                ("removed_at", time(removedAt)), ("compromised_at", time(compromisedAt)),
                ("tokens_alive", activatesAt.map { _ in .integer(use.alive[kid] ?? 0) }),
                ("unknown_to", isInJWKS(at: now) ? .array(strangers) : nil),
            ]))
    }
}
