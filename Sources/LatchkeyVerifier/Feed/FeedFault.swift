/// Why a message of the feed was not believed. The follower connects again, and gets older meanwhile. Holds nothing of
/// the message: safe to log, and to count by `rawValue`.
enum FeedFault: String, Error, Sendable, CaseIterable, CustomStringConvertible {
    case malformed
    /// It ended before its entries and its signature did.
    case cutOff = "cut_off"
    case tooLarge = "too_large"
    /// Signed by a key that is not the feed's.
    case unknownKey = "unknown_key"
    case badSignature = "bad_signature"
    case wrongIssuer = "wrong_issuer"
    /// The entries are not those that were signed.
    case wrongEntries = "wrong_entries"
    /// It does not echo this request's nonce: of a cache, or replayed.
    case notForThisRequest = "not_for_this_request"
    /// By a node whose clock this follower has not compared with its own.
    case otherNode = "other_node"
    /// It does not go on where this follower stands.
    case gap
    /// The wall clock gained on the boot clock: this machine may have stood still.
    case clockJumped = "clock_jumped"
    /// By a mirror, with a time ahead of this machine's clock by more than its declared error.
    case fromTheFuture = "from_the_future"
    /// The position is unknown to the issuer: the whole list is needed.
    case resync

    var description: String { rawValue }
}
