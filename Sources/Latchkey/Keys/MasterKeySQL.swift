package import Postgres

/// What the installation knows of a version of the master key.
package struct MasterKeyRecord: Sendable, Equatable {
    package enum Purpose: String, Sendable {
        case use
        /// Made to replace those before it because one of them had leaked.
        case leak
    }

    package let version: Int16
    let checkValue: [UInt8]
    package let purpose: Purpose
    /// nil until every ticking node held it.
    package let mintingFrom: Instant?
    package let compromisedAt: Instant?
    package let retiredAt: Instant?

    /// What is made under it is taken.
    package var isLive: Bool { compromisedAt == nil && retiredAt == nil }
    package var isMinting: Bool { isLive && mintingFrom != nil }

    init?(_ row: ResultSet.Row) throws(PostgresError) {
        guard let version: Int16 = try row.decodeIfPresent("version") else { return nil }
        guard let purpose = Purpose(rawValue: try row.decode("made_for")) else {
            throw .undecodable(column: "made_for")
        }
        self.version = version
        self.purpose = purpose
        checkValue = try row.decode("check_value", as: Bytes.self).bytes
        mintingFrom = try row.decodeIfPresent("minting_from")
        compromisedAt = try row.decodeIfPresent("compromised_at")
        retiredAt = try row.decodeIfPresent("retired_at")
    }
}

extension [MasterKeyRecord] {
    /// The version that new things are made under; nil before the first node has started.
    package var minting: MasterKeyRecord? { self.filter(\.isMinting).max { $0.version < $1.version } }

    /// Whether something may have been made under the version: it came into use, or stood below the one in use when a
    /// version of Latchkey first wrote that down which writes such things down.
    package func mayHaveMinted(_ record: MasterKeyRecord) -> Bool {
        record.mintingFrom != nil || record.version < minting?.version ?? 0
    }

    /// When the last new thing was made under the version, but for the moment until every node had heard: the first
    /// instant from which another, higher one minted. nil while it mints or may yet.
    package func superseded(_ version: Int16) -> Instant? {
        self.compactMap { $0.version > version ? $0.mintingFrom : nil }.min()
    }
}

/// Every statement on `master_keys`. Whoever changes a record raises the key ring's version, so that every node reads the
/// records again at its next tick.
enum MasterKeySQL {
    /// At least one row: the ring's version stands in each.
    static let all: Query = """
        SELECT k.version AS ring, m.version, m.check_value, m.made_for, m.minting_from, m.compromised_at,
               m.retired_at
        FROM key_ring k LEFT JOIN master_keys m ON true
        ORDER BY m.version
        """

    /// Of several that notice a version at once the first one's key is the installation's.
    static func notice(_ version: Int16, checkValue: [UInt8], _ purpose: MasterKeyRecord.Purpose) -> Query {
        """
        INSERT INTO master_keys (version, check_value, made_for)
        VALUES (\(version), \(Bytes(checkValue)), \(purpose.rawValue))
        ON CONFLICT (version) DO NOTHING
        """
    }

    /// Nodes that lack the version. One that comes back later without the key answers 503 until it has it.
    private static func lacking(_ version: Int16, _ presence: NodePresence) -> Query {
        """
        SELECT node
        FROM node_ticks
        WHERE ticked_at > clock_timestamp() - \(presence.silence) * interval '1 second'
          AND NOT \(version) = ANY (master_keys)
        """
    }

    static func nodesLacking(_ version: Int16, _ presence: NodePresence) -> Query {
        "\(lacking(version, presence)) ORDER BY node"
    }

    /// Nodes that are no more too: what they held, somebody may have.
    static func nodesHolding(_ version: Int16) -> Query {
        "SELECT count(*) AS count FROM node_ticks WHERE \(version) = ANY (master_keys)"
    }

    /// From now on new things are made under the version, if every node that counts holds it. Under the ring's lock.
    static func mint(_ version: Int16, _ presence: NodePresence) -> Query {
        """
        UPDATE master_keys
        SET minting_from = clock_timestamp()
        WHERE version = \(version) AND minting_from IS NULL AND compromised_at IS NULL AND retired_at IS NULL
          AND NOT EXISTS (\(lacking(version, presence)))
          AND NOT EXISTS (SELECT FROM master_keys WHERE version > \(version) AND minting_from IS NOT NULL)
        """
    }

    /// Retired ones too: what was sealed under them stands in old backups.
    static func compromise(below version: Int16) -> Query {
        """
        UPDATE master_keys
        SET compromised_at = clock_timestamp()
        WHERE version < \(version) AND compromised_at IS NULL
        """
    }

    /// Signing keys that were ever sealed under a version that leaked and are not wiped, the one that signs last: by then
    /// others stand behind it. Those that have left the JWKS too: verifiers keep what they fetched before.
    static let leaked: Query = """
        SELECT kid
        FROM signing_keys s
        WHERE sealed IS NOT NULL AND compromised_at IS NULL
          AND EXISTS (
            SELECT FROM master_keys m
            WHERE m.compromised_at IS NOT NULL
              AND m.version BETWEEN LEAST(s.first_sealed_under, s.master_key_version)
                                AND GREATEST(s.first_sealed_under, s.master_key_version))
        ORDER BY activates_at IS NOT NULL AND retires_at IS NULL, kid
        """

    /// - Parameter mintingFrom: what it was when its uses were counted: a version that has come into use meanwhile is named
    ///   by things that were not.
    static func retire(_ version: Int16, mintingFrom: Instant?) -> Query {
        """
        UPDATE master_keys
        SET retired_at = clock_timestamp()
        WHERE version = \(version) AND retired_at IS NULL AND minting_from IS NOT DISTINCT FROM \(mintingFrom)
        """
    }

    /// How many signing keys stand sealed under the version.
    static func sealed(under version: Int16) -> Query {
        "SELECT count(*) AS count FROM signing_keys WHERE master_key_version = \(version) AND sealed IS NOT NULL"
    }

    /// Only where the row is what was read: of two that seal it again one does. Under the ring's lock, and never under an
    /// earlier version, or one that has been retired or leaked since: nobody would open it, or whoever has the leaked one.
    static func reseal(_ key: SigningKey, _ sealed: [UInt8], under version: Int16) -> Query {
        """
        UPDATE signing_keys
        SET sealed = \(Bytes(sealed)), master_key_version = \(version),
            first_sealed_under = COALESCE(first_sealed_under, master_key_version)
        WHERE kid = \(key.kid) AND master_key_version = \(key.masterKeyVersion) AND sealed = \(Bytes(key.sealed ?? []))
          AND master_key_version < \(version)
          AND NOT EXISTS (
            SELECT FROM master_keys
            WHERE version = \(version) AND (retired_at IS NOT NULL OR compromised_at IS NOT NULL))
        """
    }
}
