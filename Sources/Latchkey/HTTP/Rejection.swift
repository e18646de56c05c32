/// Every way in which a request is refused, in words of the domain. Two exhaustive switches give each its faces:
/// `Rejection.problem` (RFC 9457) and `Rejection.oauthError` (RFC 6749 §5.2). What is no rejection is a fault: 500.
///
/// Texts in here are answered to the caller: they name fields and limits, never what the caller sent.
package enum Rejection: Error, Sendable, Equatable {
    // The request itself.

    /// The body is no JSON that we read. `reason` says what is wrong and at which byte.
    case badJSON(reason: String)
    case missingField(String)
    /// `expected` is a noun with its article: "a string".
    case wrongType(field: String, expected: String)
    /// `reason` is a sentence.
    case invalidField(String, reason: String)
    /// `description` is a sentence.
    case invalidRequest(description: String)
    /// `limit` in bytes; nil where the limit is not this server's own.
    case bodyTooLarge(limit: Int?)
    case unsupportedMediaType(expected: String)
    /// `what` is a noun: "session".
    case notFound(what: String)
    /// The methods that the path has, for `Allow`.
    case methodNotAllowed(allowed: [String])
    /// The body is compressed.
    case unsupportedContentCoding

    // The request as HTTP: RFC 9110 §15.5 and §15.6, RFC 6585 §5.

    case requestTimeout
    case targetTooLong
    case fieldsTooLarge
    case expectationFailed
    case methodNotImplemented
    case codingNotImplemented
    /// A status list as it was at another time (draft-ietf-oauth-status-list §8.4).
    case historyNotImplemented
    case versionNotSupported

    // Accounts.

    case registrationClosed
    case usernameTaken
    /// `reason` is a sentence.
    case usernameInvalid(reason: String)
    /// `reason` is a sentence.
    case passwordTooWeak(reason: String)
    /// Unknown name, wrong password, disabled account: never told apart.
    case invalidCredentials

    // Bounds. Seconds, for Retry-After.

    case tooManyAttempts(retryAfter: Int)
    /// More hashing is asked for than this node does.
    case overloaded(retryAfter: Int)
    /// Something that this node needs is away: it cannot judge or mint.
    case unavailable(retryAfter: Int)

    // Bearer tokens: RFC 6750 §3.1.

    case missingToken
    /// `reason` is a sentence in the caller's terms: "The token has expired."
    case invalidToken(reason: String)
    /// The scope that is missing.
    case insufficientScope(String)

    // The token endpoint: RFC 6749 §5.2, RFC 7009 §2.2.1, RFC 8707 §2.

    case invalidClient
    case invalidGrant
    case unauthorizedClient
    case unsupportedGrantType
    case invalidScope
    case unsupportedTokenType
    /// A client revokes what was issued to another (RFC 7009 §2.1).
    case tokenOfAnotherClient
    case invalidTarget

    // The revocation feed.

    /// The position that a follower names is none of this list, or none that can be gone on from: it needs the whole list.
    case resync

    // Administration.

    /// `ripeAt` in RFC 3339.
    case noRipeStandby(ripeAt: String)
    /// Verifiers that do not hold the key that would sign next, of a rotation that was asked to wait for them.
    case verifiersNotReady(kid: String, verifiers: [String])
    /// What is asked for cannot be undone and was not confirmed. `detail` says what it would do, and how to confirm.
    case confirmationNeeded(detail: String)
    /// The state does not allow it. `code` is a stable word, `detail` a sentence.
    case conflict(code: String, detail: String)
}
