/// What a key's life depends on, in seconds. A decision takes the widest that a node has served by and whose tokens or
/// caches may still be out: `widened(by:)`.
package struct KeyPolicy: Sendable {
    /// How long a key stands in the JWKS before it signs.
    package var publishLead: Int64
    /// `Cache-Control: max-age` of the JWKS.
    package var maxAge: Int64
    /// How far a verifier's clock may differ.
    package var leeway: Int64
    /// The longest life of an access token.
    package var lifetime: Int64
    /// For how long a key signs before the schedule replaces it.
    package var rotationInterval: Int64

    package init(
        publishLead: Int64, maxAge: Int64, leeway: Int64, lifetime: Int64 = 600, rotationInterval: Int64 = 2_592_000
    ) {
        self.publishLead = publishLead
        self.maxAge = maxAge
        self.leeway = leeway
        self.lifetime = lifetime
        self.rotationInterval = rotationInterval
    }

    /// The lead must outlast a verifier's cache, the leeway, and the two seconds between a rotation and its instant:
    /// else a key would sign that a verifier does not know yet.
    package var shortestLead: Int64 { maxAge + leeway + KeySchedule.activationDelay }

    /// What was out before a moment is dead or known after so long: caches without a new key, and tokens. So long the
    /// clock settles after a step, and so long narrower settings wait until they hold.
    package var settling: Int64 { publishLead + lifetime + leeway }

    /// Between two rotations both standbys ripen again, and the last token of the key that retired dies: two rotations
    /// in a row are always possible, and by schedule the JWKS holds at most four keys of an algorithm.
    package var shortestInterval: Int64 { settling }

    /// A ring older than this might lack a key that is about to sign, and is no longer served.
    package var longestRingAge: Int64 { publishLead - maxAge - leeway }

    /// Whether the JWKS is served from a ring that the database confirmed so many nanoseconds ago.
    package func serves(ringAged nanoseconds: Int64) -> Bool { nanoseconds < longestRingAge * 1_000_000_000 }

    /// From a key's last signature to its leaving: the token has expired for the slowest clock.
    package var farewell: Int64 { lifetime + leeway }

    /// A mistaken compromise can be taken back for so long, until the private half is wiped.
    package static let regret: Int64 = 86_400

    /// What the nodes decide by, where they have told: for a command, in whose environment anything may stand.
    package func replaced(by inForce: SettingsInForce, _ keeping: KeyKeeping?) -> KeyPolicy {
        // 0: no node has ever ticked.
        guard inForce.publishLead > 0 else { return self }
        return KeyPolicy(
            publishLead: inForce.publishLead, maxAge: inForce.maxAge, leeway: inForce.leeway,
            lifetime: inForce.accessToken, rotationInterval: keeping?.rotationInterval ?? rotationInterval)
    }

    /// With what stands in the database, where that is wider.
    package func widened(by inForce: SettingsInForce) -> KeyPolicy {
        KeyPolicy(
            publishLead: max(publishLead, inForce.publishLead), maxAge: max(maxAge, inForce.maxAge),
            leeway: max(leeway, inForce.leeway), lifetime: max(lifetime, inForce.accessToken),
            rotationInterval: rotationInterval)
    }
}
