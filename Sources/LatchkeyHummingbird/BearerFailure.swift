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
}

extension BearerFailure: HTTPResponseError {
    public var status: HTTPResponse.Status {
        switch self {
        case .missing, .rejected: .unauthorized
        case .malformed: .badRequest
        case .insufficientScope: .forbidden
        }
    }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        let challenge =
            switch self {
            case .missing: "Bearer"
            case .malformed: "Bearer error=\"invalid_request\""
            case .rejected: "Bearer error=\"invalid_token\""
            case .insufficientScope(let scope): "Bearer error=\"insufficient_scope\", scope=\"\(scope)\""
            }
        return Response(status: status, headers: [.wwwAuthenticate: challenge, .cacheControl: "no-store"])
    }
}
