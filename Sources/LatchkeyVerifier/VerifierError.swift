/// Why a verifier could not be made, or why waiting for it was in vain. `description` is safe to log.
public struct VerifierError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong. New cases may come: handle those you know and print the others.
    public enum Code: String, Sendable {
        /// The issuer is not an `https` URL (or `http` on the loopback).
        case invalidIssuer = "invalid_issuer"
        /// The audience is empty.
        case invalidAudience = "invalid_audience"
        /// A leeway outside 0 to 300 s.
        case invalidLeeway = "invalid_leeway"
        /// A limit of staleness below 3 s, or above an hour.
        case invalidStaleness = "invalid_staleness"
        /// A name that the issuer would not read: 1 to 64 of `A-Z a-z 0-9 . _ - / :`.
        case invalidName = "invalid_name"
        /// An address that is not `https` (or `http` on the loopback).
        case invalidEndpoint = "invalid_endpoint"
        /// A pinned key that is no JWK of a key that signs the feed.
        case invalidFeedKey = "invalid_feed_key"
        /// A position that is no word of `Latchkey-Position`.
        case invalidPosition = "invalid_position"
        /// What was waited for did not come in time.
        case timedOut = "timed_out"
    }

    public let code: Code
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
