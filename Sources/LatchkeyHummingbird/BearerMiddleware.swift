public import Hummingbird
public import LatchkeyVerifier

/// A request context that can carry a verified access token.
public protocol BearerRequestContext: RequestContext {
    /// Set by `BearerMiddleware`, and by nothing else.
    var accessToken: AccessToken? { get set }
}

/// Admits only requests that carry an access token (RFC 6750 §2.1) which `verify` accepts, and puts it into the
/// context.
///
/// What it throws, `BearerFailure`, answers 401 or 403 with `WWW-Authenticate` where nothing outside gives it another
/// face.
public struct BearerMiddleware<Context: BearerRequestContext>: RouterMiddleware {
    private let verify: @Sendable (String) async throws -> AccessToken
    private let scopes: [String]
    private let roles: [String]

    /// Admits what `verifier` accepts and what carries all of `scopes` and all of `roles`.
    ///
    /// A verifier that is stale and was told to refuse then makes it answer 503 with `Retry-After`: not 401, which
    /// would send every user to log in again.
    public init(_ verifier: Verifier, scopes: [String] = [], roles: [String] = []) {
        self.init(scopes: scopes, roles: roles) { token in try await verifier.verify(token) }
    }

    /// - Parameter verify: throws `TokenRejection` for a token that is not to be accepted; anything else passes
    ///   through.
    public init(
        scopes: [String] = [], roles: [String] = [],
        _ verify: @escaping @Sendable (String) async throws -> AccessToken
    ) {
        self.verify = verify
        self.scopes = scopes
        self.roles = roles
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var context = context
        do {
            context.accessToken = try await verify(try Self.token(in: request))
        } catch let rejection as TokenRejection {
            throw BearerFailure.rejected(rejection)
        }
        for scope in scopes { try context.require(scope: scope) }
        for role in roles { try context.require(role: role) }
        return try await next(request, context)
    }

    /// `credentials = "Bearer" 1*SP b64token`; the scheme in any case (RFC 9110 §11.1). Read as bytes: as text, a
    /// combining character after the scheme would become part of its last letter.
    private static func token(in request: Request) throws(BearerFailure) -> String {
        let fields = request.headers[values: .authorization]
        guard let field = fields.first else { throw .missing }
        let bytes = Array(field.utf8)
        let scheme = bytes.prefix { $0 != 0x20 }
        guard scheme.map({ $0 | 0x20 }) == Array("bearer".utf8) else { throw .missing }
        let token = bytes.dropFirst(scheme.count).drop { $0 == 0x20 }
        guard fields.count == 1, !token.isEmpty, token.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .malformed
        }
        return String(decoding: token, as: UTF8.self)
    }
}

extension BearerRequestContext {
    /// The token, where it carries `scope`.
    /// - Throws: `BearerFailure.insufficientScope` (RFC 6750 §3.1), `.missing` outside the middleware.
    @discardableResult
    public func require(scope: String) throws(BearerFailure) -> AccessToken {
        guard let accessToken else { throw .missing }
        guard accessToken.has(scope: scope) else { throw .insufficientScope(scope) }
        return accessToken
    }

    /// The token, where it carries `role`.
    /// - Throws: `BearerFailure.insufficientRole`, `.missing` outside the middleware.
    @discardableResult
    public func require(role: String) throws(BearerFailure) -> AccessToken {
        guard let accessToken else { throw .missing }
        guard accessToken.has(role: role) else { throw .insufficientRole(role) }
        return accessToken
    }
}
