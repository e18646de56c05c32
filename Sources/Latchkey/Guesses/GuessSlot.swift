import JOSE
import Postgres

/// How many passwords may be tried in 15 minutes before the next is refused unlooked-at; 0: any number.
package struct GuessLimits: Sendable {
    /// For one name from unknown devices together, and for each known device of one user.
    package var perAccount: Int64
    /// From one network: an IPv4 address, or the first 64 bits of an IPv6 one.
    package var perAddress: Int64

    package init(perAccount: Int64, perAddress: Int64) {
        self.perAccount = perAccount
        self.perAddress = perAddress
    }
}

/// The buckets that count one caller. An empty key: that one does not count.
struct GuessCaller: Sendable {
    struct Device: Sendable {
        let token: DeviceToken
        /// With its place as the last byte, its bucket's key.
        let key: [UInt8]
    }

    let accountKey: [UInt8]
    let addressKey: [UInt8]
    /// Empty where no user can have the name.
    let username: String
    /// As its token says; whether it is known, the call finds out.
    let device: Device?

    /// The buckets that the call took a slot in, told by the place it found.
    func keys(place: Int32?) -> [[UInt8]] {
        if let place, let device { return [device.key + [UInt8(place)]] }
        return [accountKey, addressKey].filter { !$0.isEmpty }
    }
}

/// The right to have one password looked at. It stays taken, as the guess that it was, unless it is given back.
package struct GuessSlot: Sendable {
    /// A bucket that this slot was the last of.
    enum Full: String, Sendable {
        case account, device, address
    }

    let keys: [[UInt8]]
    /// The database's instant; with a key it names the slot.
    let takenAt: Instant
    /// The device whose bucket it was taken in; nil: an unknown one.
    package let knownDevice: DeviceToken?
    let full: [Full]
    /// Of whoever asked, for the log.
    let address: String?
}

/// What the call says of one caller.
enum GuessVerdict: Sendable {
    case taken(at: Instant, place: Int32?, fillsAccount: Bool, fillsAddress: Bool)
    /// Seconds until the slot that is in the way has left.
    case refused(wait: Int64)

    init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let instant: Instant = try row.decodeIfPresent("taken_at") else {
            self = .refused(wait: try row.decode("wait"))
            return
        }
        self = .taken(
            at: instant, place: try row.decodeIfPresent("place"), fillsAccount: try row.decode("fills_account"),
            fillsAddress: try row.decode("fills_address"))
    }
}
