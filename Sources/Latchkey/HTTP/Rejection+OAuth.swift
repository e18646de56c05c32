package import HTTPTypes
package import JOSE

/// An answer in the shape of RFC 6749 §5.2.
package struct OAuthError: Sendable, Equatable {
    package let status: Int
    package let error: String
    /// Only %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §5.2): anything else is replaced.
    package let description: String
    package var headers: HTTPFields

    package init(status: Int = 400, _ error: String, _ description: String, headers: HTTPFields = [:]) {
        self.status = status
        self.error = error
        self.description = ErrorText.restricted(description)
        self.headers = headers
    }

    package var body: JSONValue {
        ["error": .string(error), "error_description": .string(description)]
    }

    /// A fault: it says nothing but where to find it in the log.
    package static func fault(requestID: String) -> OAuthError {
        OAuthError(status: 500, "server_error", "Report this with the request id \(requestID).")
    }
}

extension Rejection {
    /// The face under `/oauth2`. Codes are those of RFC 6749, 6750, 7009 and 8707 where they have one.
    package var oauthError: OAuthError {
        switch self {
        case .badJSON(let reason):
            OAuthError("invalid_request", "Mend the body: \(reason).")
        case .missingField(let name):
            OAuthError("invalid_request", "Send the parameter \(name).")
        case .wrongType(let field, let expected):
            OAuthError("invalid_request", "The parameter \(field) must be \(expected).")
        case .invalidField(let field, let reason):
            OAuthError("invalid_request", "The parameter \(field) is invalid. \(reason)")
        case .invalidRequest(let description):
            OAuthError("invalid_request", description)
        case .bodyTooLarge(let limit):
            OAuthError(
                status: 413, "invalid_request", limit.map { "Send at most \($0) bytes." } ?? "Send a smaller body.")
        case .unsupportedMediaType(let expected):
            OAuthError(
                status: 415, "invalid_request", "Send the body as \(expected).", headers: [.accept: expected])
        case .notFound(let what):
            OAuthError(status: 404, "invalid_request", "There is no such \(what).")
        case .methodNotAllowed(let allowed):
            OAuthError(
                status: 405, "invalid_request", "Use \(allowed.joined(separator: ", ")).",
                headers: Self.allow(allowed))
        case .unsupportedContentCoding, .requestTimeout, .targetTooLong, .fieldsTooLarge, .expectationFailed,
            .methodNotImplemented, .codingNotImplemented, .historyNotImplemented, .versionNotSupported:
            // HTTP's own affairs, of which RFC 6749 says nothing: what the other face says, in this one's shape.
            OAuthError(
                status: problem.status, "invalid_request", problem.detail, headers: problem.headers)

        case .registrationClosed:
            OAuthError(
                status: 403, "access_denied", "Ask an administrator for an account.", headers: Self.challenge())
        case .usernameTaken:
            OAuthError(status: 409, "invalid_request", "Choose another username.")
        case .usernameInvalid(let reason), .passwordTooWeak(let reason):
            OAuthError(status: 422, "invalid_request", reason)
        case .invalidCredentials:
            OAuthError(
                status: 401, "access_denied", "Check the username and the password.", headers: Self.challenge())

        case .tooManyAttempts(let seconds):
            OAuthError(
                status: 429, "temporarily_unavailable", "Try again in \(seconds) seconds.",
                headers: Self.retry(after: seconds))
        case .overloaded(let seconds), .unavailable(let seconds):
            OAuthError(
                status: 503, "temporarily_unavailable", "Try again in \(seconds) seconds.",
                headers: Self.retry(after: seconds))

        case .missingToken:
            // RFC 6750 §3.1: a request without authentication gets a challenge without an error. The body's code is
            // for who reads only that.
            OAuthError(status: 401, "invalid_request", "Send an access token.", headers: Self.challenge())
        case .invalidToken(let reason):
            OAuthError(
                status: 401, "invalid_token", reason,
                headers: Self.challenge(error: "invalid_token", description: reason))
        case .insufficientScope(let scope):
            OAuthError(
                status: 403, "insufficient_scope", "Use a token with the scope \(scope).",
                headers: Self.challenge(error: "insufficient_scope", scope: scope))

        case .invalidClient:
            OAuthError(status: 401, "invalid_client", "Authenticate the client.", headers: Self.clientChallenge)
        case .invalidGrant:
            OAuthError("invalid_grant", "The grant is invalid, expired or revoked: log in again.")
        case .unauthorizedClient:
            OAuthError("unauthorized_client", "This client may not use this grant type.")
        case .unsupportedGrantType:
            OAuthError("unsupported_grant_type", "Use a grant type that the discovery document names.")
        case .invalidScope:
            OAuthError("invalid_scope", "Ask for scopes that the account and the client have.")
        case .unsupportedTokenType:
            OAuthError("unsupported_token_type", "Send an access token or a refresh token.")
        case .tokenOfAnotherClient:
            // The code whose words are "or was issued to another client" (RFC 6749 §5.2).
            OAuthError("invalid_grant", "The token was issued to another client: let that one revoke it.")
        case .invalidTarget:
            OAuthError("invalid_target", "Ask for a resource that this installation issues tokens for.")

        case .resync:
            OAuthError(status: 410, "invalid_request", "Get the whole list.")

        case .noRipeStandby(let ripeAt):
            OAuthError(status: 409, "invalid_request", "No standby key is ripe. Rotate again at \(ripeAt).")
        case .verifiersNotReady(let kid, _):
            OAuthError(status: 409, "invalid_request", "Verifiers do not hold the key \(kid) yet.")
        case .confirmationNeeded(let detail), .conflict(_, let detail):
            OAuthError(status: 409, "invalid_request", detail)
        }
    }
}
