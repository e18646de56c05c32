import JOSE
import LibCrypto
import Postgres

/// Every statement on `signing_keys` and `key_ring`.
enum SigningKeySQL {
    static let version: Query = "SELECT version, steady AS now FROM key_ring, steady_clock()"

    static let all: Query = """
        SELECT kid, algorithm, public_jwk, sealed, master_key_version, founding, created_at, published_at, activates_at,
               retires_at, leaves_at, removed_at, compromised_at, held_by, left_in_token
        FROM signing_keys
        ORDER BY created_at, kid
        """

    /// Whoever changes the keys holds this row: rotations come one after the other.
    static let lockRing: Query = "SELECT version FROM key_ring FOR UPDATE"

    static let raiseVersion: Query = """
        UPDATE key_ring SET version = version + 1
        RETURNING version, pg_notify('latchkey_revocations', '') IS NULL AS notified
        """

    /// The lost history may have raised it further than this one's. Unix seconds outrun that, one change at a time: whoever
    /// remembers a version of it reads the ring anew.
    static let raiseVersionBeyondLoss: Query = """
        UPDATE key_ring SET version = GREATEST(version + 1, floor(extract(epoch FROM clock_timestamp()))::bigint)
        RETURNING version, pg_notify('latchkey_revocations', '') IS NULL AS notified
        """

    /// No row where it is sealed under a master key that has been retired or leaked since: none would open it, or whoever
    /// has the leaked one would. Under the ring's lock, which whoever retires a master key or declares it compromised holds.
    static func insert(_ key: NewSigningKey, founding: Bool) -> Query {
        """
        INSERT INTO signing_keys (kid, algorithm, public_jwk, sealed, master_key_version, held_by, founding)
        SELECT \(key.publicKey.keyID), \(key.publicKey.publicKey.algorithm.rawValue),
               \(String(decoding: key.publicKey.json.encoded(), as: UTF8.self)), \(key.sealed.map { Bytes($0) }),
               \(key.masterKeyVersion), \(key.holder.rawValue), \(founding)
        WHERE \(key.holder.rawValue) = 'token'
           OR NOT EXISTS (
                SELECT FROM master_keys
                WHERE version = \(key.masterKeyVersion)
                  AND (retired_at IS NOT NULL OR compromised_at IS NOT NULL))
        """
    }

    /// The founding keys are stamped at birth, and one of them signs from then on.
    static func found(active kid: String) -> Query {
        """
        UPDATE signing_keys
        SET published_at = at.now, activates_at = CASE WHEN kid = \(kid) THEN at.now END
        FROM (SELECT steady AS now FROM steady_clock()) AS at
        WHERE founding AND published_at IS NULL
        """
    }

    /// The key is read committed, by a transaction later than the one that made it.
    static func stamp(_ kid: String, at: Instant) -> Query {
        "UPDATE signing_keys SET published_at = \(at) WHERE kid = \(kid) AND published_at IS NULL"
    }

    /// The last signer of its algorithm has a successor from `at` on.
    static func retire(_ kid: String, at: Instant) -> Query {
        """
        UPDATE signing_keys SET retires_at = \(at)
        WHERE kid = \(kid) AND activates_at IS NOT NULL AND retires_at IS NULL
        """
    }

    /// The retirement is read committed.
    static func part(_ kid: String, leavesAt: Instant) -> Query {
        """
        UPDATE signing_keys SET leaves_at = \(leavesAt)
        WHERE kid = \(kid) AND retires_at IS NOT NULL AND leaves_at IS NULL
        """
    }

    static func remove(_ kid: String, at: Instant) -> Query {
        "UPDATE signing_keys SET removed_at = \(at) WHERE kid = \(kid) AND removed_at IS NULL"
    }

    /// The private half is gone for good; the public one stays, so that the audit log's `kid` means something. What a token
    /// holds is destroyed there after this.
    static func wipe(_ kid: String) -> Query {
        """
        UPDATE signing_keys
        SET sealed = NULL, held_by = 'database', left_in_token = (held_by = 'token')
        WHERE kid = \(kid) AND (sealed IS NOT NULL OR held_by = 'token')
        """
    }

    /// It has been destroyed in its token.
    static func forgetLeft(_ kid: String) -> Query {
        "UPDATE signing_keys SET left_in_token = false WHERE kid = \(kid) AND left_in_token"
    }

    static func activate(_ kid: String, at: Instant) -> Query {
        """
        UPDATE signing_keys SET activates_at = \(at)
        WHERE kid = \(kid) AND activates_at IS NULL AND published_at IS NOT NULL AND compromised_at IS NULL
        """
    }
}

extension SigningKey {
    init(_ row: ResultSet.Row) throws(PostgresError) {
        let text: String = try row.decode("public_jwk")
        guard let value = try? JSONValue.parse(Array(text.utf8)), let key = try? JSONWebKey(value) else {
            throw .undecodable(column: "public_jwk")
        }
        kid = try row.decode("kid")
        publicKey = key
        sealed = try row.decodeIfPresent("sealed", as: Bytes.self)?.bytes
        masterKeyVersion = try row.decode("master_key_version")
        isFounding = try row.decode("founding")
        createdAt = try row.decode("created_at")
        publishedAt = try row.decodeIfPresent("published_at")
        activatesAt = try row.decodeIfPresent("activates_at")
        retiresAt = try row.decodeIfPresent("retires_at")
        leavesAt = try row.decodeIfPresent("leaves_at")
        removedAt = try row.decodeIfPresent("removed_at")
        compromisedAt = try row.decodeIfPresent("compromised_at")
        guard let holder = KeyHolder(rawValue: try row.decode("held_by")) else {
            throw .undecodable(column: "held_by")
        }
        self.holder = holder
        isLeftInToken = try row.decode("left_in_token")
    }
}
