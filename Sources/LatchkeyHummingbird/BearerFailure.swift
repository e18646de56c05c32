internal import HTTPTypes
public import Hummingbird
public import LatchkeyVerifier

/// Why a request with or without a bearer token was not admitted (RFC 6750 §3.1).
public enum BearerFailure: Error, Sendable, Equatable {
    /// No bearer token: the challenge says nothing more.
    case missing
    /// An `Authorization: Bearer` that is not one token.
    case malformed
    case rejected(TokenRejection)
    /// The token is good and lacks this scope.
    case insufficientScope(String)
    /// The token is good and lacks this role.
    case insufficientRole(String)
}

extension BearerFailure: HTTPResponseError {
    public var status: HTTPResponse.Status {
        switch self {
        // The token may be good: who shows it need not log in again.
        case .rejected(.stale): .serviceUnavailable
        case .missing, .rejected: .unauthorized
        case .malformed: .badRequest
        case .insufficientScope, .insufficientRole: .forbidden
        }
    }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        var response = Response(status: status, headers: [.cacheControl: "no-store"])
        if let challenge { response.headers[.wwwAuthenticate] = challenge } else { response.headers[.retryAfter] = "1" }
        return response
    }

    /// `WWW-Authenticate`; nil where no other token would help. The reason of a rejection is the log's business.
    private var challenge: String? {
        switch self {
        case .missing: "Bearer"
        case .malformed: "Bearer error=\"invalid_request\""
        case .rejected(.stale): nil
        case .rejected: "Bearer error=\"invalid_token\""
        case .insufficientScope(let scope):
            "Bearer error=\"insufficient_scope\", scope=\"\(Self.quotable(scope))\""
        case .insufficientRole(let role):
            "Bearer error=\"insufficient_scope\", error_description=\"The role \(Self.quotable(role)) is missing.\""
        }
    }

    /// What may stand between quotation marks (RFC 6750 §3). A scope has nothing else (RFC 6749 §3.3); a role might.
    private static func quotable(_ text: String) -> String {
        String(decoding: text.utf8.filter { 0x20...0x7e ~= $0 && $0 != 0x22 && $0 != 0x5c }, as: UTF8.self)
    }
}
