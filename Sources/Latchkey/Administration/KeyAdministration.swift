import LibCrypto
package import Hummingbird
package import JOSE
import LatchkeyHummingbird
package import Postgres

/// `/admin/keys…`.
package struct KeyAdministration: Sendable {
    private let keys: SigningKeys
    private let policy: KeyPolicy

    package init(_ keys: SigningKeys, policy: KeyPolicy) {
        self.keys = keys
        self.policy = policy
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
                from: try body?.optionalString("from"), reason: try body?.optionalString("reason"),
                origin: context.origin)
            return Response.json(answer, status: .accepted, caching: .noStore)
        }
    }

    package func list() async throws -> [JSONValue] {
        let ring = try await keys.read()
        // What nodes serve by: whoever asks may have another lead.
        let lead = ring.inForce.publishLead
        return ring.keys.map { $0.json(at: ring.clock.now, lead: lead) }
    }

    /// - Parameter from: nil: the key that signs now. It is named at once, so that two who ask at the same time mean the
    ///   same one and make one rotation.
    package func rotate(from kid: String?, reason: String?, origin: Origin) async throws -> JSONValue {
        let from: String
        if let kid {
            from = kid
        } else {
            let ring = try await keys.read()
            guard
                let signer = KeySchedule.signer(ring.keys, at: ring.clock.now, preferring: keys.algorithm)
            else { throw SigningKeyError.noSigner }
            from = signer.kid
        }
        switch try await keys.rotate(from: from, reason: reason, origin: origin) {
        case .rotate(_, let kid, let at), .alreadyRotated(let kid, let at):
            return [
                "kid": .string(kid), "activates_at": .string(RFC3339.text(microseconds: at.microseconds)),
            ]
        case .noRipeStandby(let ripeAt):
            let ring = try await keys.read()
            // A key that is not even stamped yet will be within a second or two.
            let at = ripeAt ?? ring.clock.now + (policy.widened(by: ring.inForce).publishLead + 2)
            throw Rejection.noRipeStandby(ripeAt: RFC3339.text(microseconds: at.microseconds))
        case .unknownKey:
            throw Rejection.notFound(what: "signing key that signs or has signed")
        }
    }
}

extension SigningKey {
    package func json(at now: Instant, lead: Int64) -> JSONValue {
        func time(_ instant: Instant?) -> JSONValue? {
            instant.map { .string(RFC3339.text(microseconds: $0.microseconds)) }
        }
        return .object(
            JSONObject([
                ("kid", .string(kid)), ("alg", .string(publicKey.publicKey.algorithm.rawValue)),
                ("state", .string(state(at: now).rawValue)), ("created_at", time(createdAt)),
                ("published_at", time(publishedAt)), ("ripe_at", isStandby ? time(ripeAt(lead: lead)) : nil),
                ("activates_at", time(activatesAt)), ("retires_at", time(retiresAt)), ("leaves_at", time(leavesAt)),
                ("removed_at", time(removedAt)), ("compromised_at", time(compromisedAt)),
            ]))
    }
}
