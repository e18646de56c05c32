import JOSE
import Postgres

/// Every call on the tables of the guess limits. What they do stands beside the tables, in the migration: a group's slots
/// are taken in one call, and no other statement writes there but the purge.
enum GuessSQL {
    static func take(_ callers: [GuessCaller], _ limits: GuessLimits) -> Query {
        let devices = callers.map(\.device)
        // Stands where no device token was shown; an empty key says so.
        let none = UniqueID.version7(millisecondsSince1970: 0, random: [UInt8](repeating: 0, count: 10))
        return """
            SELECT place, taken_at, wait, fills_account, fills_address
            FROM take_guess_slots(
                \(callers.map { Bytes($0.accountKey) }), \(callers.map { Bytes($0.addressKey) }),
                \(devices.map { Bytes($0?.key ?? []) }), \(callers.map(\.username)),
                \(devices.map { $0?.token.user.id ?? none }),
                \(devices.map { Int64($0?.token.passwordVersion ?? 0) }),
                \(devices.map { $0?.token.device ?? none }), \(limits.perAccount), \(limits.perAddress))
            """
    }

    static func giveBack(_ slots: [(key: [UInt8], takenAt: Instant)]) -> Query {
        """
        SELECT give_back_guess_slots(\(slots.map { Bytes($0.key) }), \(slots.map(\.takenAt))) IS NULL AS given
        """
    }

    /// The devices of a user who is deleted.
    static func forgetDevices(of user: UniqueID) -> Query {
        """
        DELETE FROM guess_devices
        WHERE user_id IN (SELECT user_id FROM guess_devices WHERE user_id = \(user) FOR UPDATE SKIP LOCKED)
        """
    }

    /// A thousand at a time, so that no statement runs long, and none that somebody holds.
    static let forgetSpent: Query = """
        DELETE FROM guess_buckets
        WHERE key IN (
            SELECT key
            FROM guess_buckets
            WHERE spent_at < clock_timestamp()
            ORDER BY spent_at
            LIMIT 1000
            FOR UPDATE SKIP LOCKED)
        """
}
