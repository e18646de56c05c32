package import HTTPTypes
package import JOSE

/// An answer in the shape of RFC 9457, `application/problem+json`.
package struct Problem: Sendable, Equatable {
    package let status: Int
    /// A stable word; `type` is `urn:latchkey:problem:` and this.
    package let code: String
    package let title: String
    /// What to do next.
    package let detail: String
    /// Extension members, RFC 9457 §3.2.
    package var members: [Member] = []
    package var headers = HTTPFields()

    package struct Member: Sendable, Equatable {
        package let name: String
        package let value: JSONValue
    }

    package var body: JSONValue {
        let standard: [(String, JSONValue?)] = [
            ("type", .string("urn:latchkey:problem:\(code)")), ("title", .string(title)),
            ("status", .integer(Int64(status))), ("detail", .string(detail)), ("code", .string(code)),
        ]
        return .object(JSONObject(standard + members.map { ($0.name, $0.value) }))
    }

    /// A fault: it says nothing but where to find it in the log.
    package static func fault(requestID: String) -> Problem {
        Problem(
            status: 500, code: "internal-error", title: "Internal error",
            detail: "Something failed on our side. Report it with the request id.",
            members: [.init(name: "request_id", value: .string(requestID))])
    }
}

extension Rejection {
    /// The face outside `/oauth2`.
    package var problem: Problem {
        switch self {
        case .badJSON(let reason):
            Problem(status: 400, code: "bad-json", title: "Not JSON", detail: "Mend the body: \(reason).")
        case .missingField(let name):
            Problem(
                status: 400, code: "missing-field", title: "Missing field", detail: "Send the field \(name).",
                field: name)
        case .wrongType(let field, let expected):
            Problem(
                status: 400, code: "wrong-type", title: "Wrong type", detail: "The field \(field) must be \(expected).",
                field: field)
        case .invalidField(let field, let reason):
            Problem(status: 422, code: "invalid-field", title: "Invalid field", detail: reason, field: field)
        case .invalidRequest(let description):
            Problem(status: 400, code: "invalid-request", title: "Invalid request", detail: description)
        case .bodyTooLarge(let limit):
            Problem(
                status: 413, code: "body-too-large", title: "Body too large",
                detail: limit.map { "Send at most \($0) bytes." } ?? "Send a smaller body.")
        case .unsupportedMediaType(let expected):
            Problem(
                status: 415, code: "unsupported-media-type", title: "Unsupported media type",
                detail: "Send the body as \(expected).", headers: [.accept: expected])
        case .notFound(let what):
            Problem(status: 404, code: "not-found", title: "Not found", detail: "There is no such \(what).")
        case .methodNotAllowed(let allowed):
            Problem(
                status: 405, code: "method-not-allowed", title: "Method not allowed",
                detail: "Use \(allowed.joined(separator: ", ")).", headers: Self.allow(allowed))
        case .unsupportedContentCoding:
            Problem(
                status: 415, code: "unsupported-content-coding", title: "Unsupported content coding",
                detail: "Send the body as it is, uncompressed.", headers: Self.noCoding)

        case .requestTimeout:
            Problem(
                status: 408, code: "request-timeout", title: "Request timeout",
                detail: "Send the whole request without pauses.")
        case .targetTooLong:
            Problem(
                status: 414, code: "uri-too-long", title: "URI too long",
                detail: "Send a target of at most \(EdgeLimits.targetBytes) bytes.")
        case .fieldsTooLarge:
            Problem(
                status: 431, code: "headers-too-large", title: "Headers too large",
                detail: "Send at most \(EdgeLimits.fieldCount) header fields, \(EdgeLimits.headBytes) bytes in all.")
        case .expectationFailed:
            Problem(
                status: 417, code: "expectation-failed", title: "Expectation failed",
                detail: "Expect nothing but 100-continue.")
        case .methodNotImplemented:
            Problem(
                status: 501, code: "not-implemented", title: "Method not implemented",
                detail: "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.")
        case .codingNotImplemented:
            Problem(
                status: 501, code: "not-implemented", title: "Transfer coding not implemented",
                detail: "Use no transfer coding but chunked.")
        case .historyNotImplemented:
            Problem(
                status: 501, code: "not-implemented", title: "History not implemented",
                detail: "Leave `time` out: a status list is served as it is now.")
        case .versionNotSupported:
            Problem(
                status: 505, code: "http-version-not-supported", title: "HTTP version not supported",
                detail: "Use HTTP/1.1.")

        case .registrationClosed:
            Problem(
                status: 403, code: "registration-closed", title: "Registration is closed",
                detail: "Ask an administrator for an account.", headers: Self.challenge())
        case .usernameTaken:
            Problem(
                status: 409, code: "username-taken", title: "Username taken", detail: "Choose another username.",
                field: "username")
        case .usernameInvalid(let reason):
            Problem(
                status: 422, code: "username-invalid", title: "Invalid username", detail: reason, field: "username")
        case .passwordTooWeak(let reason):
            Problem(
                status: 422, code: "password-too-weak", title: "Password too weak", detail: reason, field: "password")
        case .invalidCredentials:
            Problem(
                status: 401, code: "invalid-credentials", title: "Invalid credentials",
                detail: "Check the username and the password.", headers: Self.challenge())

        case .tooManyAttempts(let seconds):
            Problem(
                status: 429, code: "too-many-attempts", title: "Too many attempts",
                detail: "Try again in \(seconds) seconds.", headers: Self.retry(after: seconds))
        case .overloaded(let seconds):
            Problem(
                status: 503, code: "overloaded", title: "Overloaded", detail: "Try again in \(seconds) seconds.",
                headers: Self.retry(after: seconds))
        case .unavailable(let seconds):
            Problem(
                status: 503, code: "unavailable", title: "Unavailable", detail: "Try again in \(seconds) seconds.",
                headers: Self.retry(after: seconds))

        case .missingToken:
            Problem(
                status: 401, code: "missing-token", title: "No access token",
                detail: "Send an access token: Authorization: Bearer …", headers: Self.challenge())
        case .invalidToken(let reason):
            Problem(
                status: 401, code: "invalid-token", title: "Invalid access token",
                detail: "\(reason) Refresh or log in again.",
                headers: Self.challenge(error: "invalid_token", description: reason))
        case .insufficientScope(let scope):
            Problem(
                status: 403, code: "insufficient-scope", title: "Insufficient scope",
                detail: "Use a token with the scope \(scope).",
                members: [.init(name: "scope", value: .string(scope))],
                headers: Self.challenge(error: "insufficient_scope", scope: scope))

        case .invalidClient:
            Problem(
                status: 401, code: "invalid-client", title: "Invalid client", detail: "Authenticate the client.",
                headers: Self.clientChallenge)
        case .invalidGrant:
            Problem(
                status: 400, code: "invalid-grant", title: "Invalid grant",
                detail: "The grant is invalid, expired or revoked: log in again.")
        case .unauthorizedClient:
            Problem(
                status: 400, code: "unauthorized-client", title: "Unauthorized client",
                detail: "This client may not use this grant type: use one that it is registered for.")
        case .unsupportedGrantType:
            Problem(
                status: 400, code: "unsupported-grant-type", title: "Unsupported grant type",
                detail: "Use a grant type that the discovery document names.")
        case .invalidScope:
            Problem(
                status: 400, code: "invalid-scope", title: "Invalid scope",
                detail: "Ask for scopes that the account and the client have.")
        case .unsupportedTokenType:
            Problem(
                status: 400, code: "unsupported-token-type", title: "Unsupported token type",
                detail: "Send an access token or a refresh token.")
        case .tokenOfAnotherClient:
            Problem(
                status: 400, code: "token-of-another-client", title: "Token of another client",
                detail: "The token was issued to another client: let that one revoke it.")
        case .invalidTarget:
            Problem(
                status: 400, code: "invalid-target", title: "Invalid resource",
                detail: "Ask for a resource that this installation issues tokens for.")

        case .resync:
            Problem(
                status: 410, code: "resync", title: "Position not found",
                detail:
                    "Get the whole list, without `after`: the position is of another list, too old, or too far behind.")

        case .noRipeStandby(let ripeAt):
            Problem(
                status: 409, code: "no-ripe-standby", title: "No standby key is ripe",
                detail: "Rotate again at \(ripeAt).", members: [.init(name: "ripe_at", value: .string(ripeAt))])
        case .verifiersNotReady(let kid, let verifiers):
            Problem(
                status: 409, code: "verifiers-not-ready", title: "Verifiers do not hold the next key",
                detail: "Rotate again once they hold \(kid), or without waiting for them.",
                members: [
                    .init(name: "kid", value: .string(kid)),
                    .init(name: "verifiers", value: .array(verifiers.map { .string($0) })),
                ])
        case .confirmationNeeded(let detail):
            Problem(status: 409, code: "confirmation-needed", title: "Confirmation needed", detail: detail)
        case .conflict(let code, let detail):
            Problem(status: 409, code: code, title: "Conflict", detail: detail)
        }
    }
}

extension Problem {
    /// With the member `field`, which names what to mend.
    fileprivate init(status: Int, code: String, title: String, detail: String, field: String) {
        self.init(
            status: status, code: code, title: title, detail: detail,
            members: [.init(name: "field", value: .string(field))])
    }
}
