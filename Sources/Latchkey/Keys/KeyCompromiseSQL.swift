import Postgres

/// The statements by which a signing key is declared compromised, and by which that is taken back. The ring's row is locked
/// before each.
enum KeyCompromiseSQL {
    static func compromise(_ kid: String, at now: Instant, _ change: KeyCompromise.Change) -> Query {
        """
        UPDATE signing_keys
        SET compromised_at = \(now), activates_at = \(change.activatesAt), retires_at = \(change.retiresAt)
        WHERE kid = \(kid) AND compromised_at IS NULL
        """
    }

    /// A key that signs has been published, be it at that instant.
    static func takeOver(_ takeover: KeyCompromise.Takeover) -> Query {
        """
        UPDATE signing_keys
        SET activates_at = \(takeover.at), published_at = COALESCE(published_at, \(takeover.at))
        WHERE kid = \(takeover.kid) AND compromised_at IS NULL
        """
    }

    /// One that never signed is a standby again and stamped anew: verifiers that fetched the JWKS meanwhile forgot it.
    static func restore(_ kid: String) -> Query {
        """
        UPDATE signing_keys
        SET compromised_at = NULL,
            published_at = CASE WHEN activates_at IS NOT NULL THEN published_at END,
            founding = founding AND activates_at IS NOT NULL
        WHERE kid = \(kid) AND compromised_at IS NOT NULL AND sealed IS NOT NULL
        """
    }
}
