import Postgres

/// The settings that outlive the node which has them: tokens and caches that it handed out go by them.
///
/// One row of the database holds the widest. It is widened before a node serves with more, and narrowed only once what was
/// handed out by the wider settings is dead: two nodes with different settings would else ripen a key that one of them
/// hides, and a restart with a longer lifetime would let entries expire before tokens. Seconds.
package struct SettingsInForce: Sendable, Equatable {
    /// Of an access token's life.
    package var accessToken: Int64
    package var publishLead: Int64
    package var maxAge: Int64
    package var leeway: Int64
    /// What a failover may lose; `synchronous` only where every node says so.
    package var failover: String
    /// The signature algorithms by which nodes sign.
    package var algorithms: [String]

    package init(
        accessToken: Int64, publishLead: Int64, maxAge: Int64, leeway: Int64, failover: String, algorithms: [String]
    ) {
        self.accessToken = accessToken
        self.publishLead = publishLead
        self.maxAge = maxAge
        self.leeway = leeway
        self.failover = failover
        self.algorithms = algorithms
    }

    static let lossy = "lossy"
    static let synchronous = "synchronous"

    /// After a step of the clock, and after the last tick by wider settings: what was out is dead or known after so long.
    package var settling: Int64 { publishLead + accessToken + leeway }

    /// Whether a node may serve by `own`.
    package func covers(_ own: SettingsInForce) -> Bool {
        accessToken >= own.accessToken && publishLead >= own.publishLead && maxAge >= own.maxAge
            && leeway >= own.leeway && (failover == Self.lossy || own.failover == Self.synchronous)
    }

    /// What the row becomes before a node serves by `own`.
    package func widened(by own: SettingsInForce) -> SettingsInForce {
        SettingsInForce(
            accessToken: max(accessToken, own.accessToken), publishLead: max(publishLead, own.publishLead),
            maxAge: max(maxAge, own.maxAge), leeway: max(leeway, own.leeway),
            failover: own.failover == Self.lossy ? Self.lossy : failover,
            algorithms: algorithms + own.algorithms.filter { !algorithms.contains($0) })
    }

    /// What the row becomes where these are the settings of all ticks that are not older than `settling`; itself where
    /// there was none.
    package func narrowed(to recent: [SettingsInForce]) -> SettingsInForce {
        guard let first = recent.first else { return self }
        return recent.dropFirst().reduce(first) { $0.widened(by: $1) }
    }

    init(_ row: ResultSet.Row) throws(PostgresError) {
        self.init(
            accessToken: try row.decode("longest_access_token"), publishLead: try row.decode("longest_publish_lead"),
            maxAge: try row.decode("longest_max_age"), leeway: try row.decode("longest_leeway"),
            failover: try row.decode("failover"), algorithms: try row.decode("algorithms"))
    }
}

/// How the node that started last makes and rotates signing keys. Commands go by it, whatever the environment says that
/// they run in: a shell without the nodes' settings would rotate at another time, or make a key where it must not be.
package struct KeyKeeping: Sendable, Equatable {
    /// Seconds.
    package let rotationInterval: Int64
    /// The installation's own signature algorithm.
    package let algorithm: String
    /// Where new private halves are kept.
    package let holder: String

    package init(rotationInterval: Int64, algorithm: String, holder: String) {
        self.rotationInterval = rotationInterval
        self.algorithm = algorithm
        self.holder = holder
    }

    /// nil where no node of a version that tells has started.
    init?(_ row: ResultSet.Row) throws(PostgresError) {
        guard let rotationInterval = try row.decodeIfPresent("rotation_interval", as: Int64.self) else { return nil }
        self.init(
            rotationInterval: rotationInterval, algorithm: try row.decode("signing_algorithm"),
            holder: try row.decode("keys_held_by"))
    }
}
