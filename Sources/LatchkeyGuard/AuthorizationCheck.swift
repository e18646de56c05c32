internal import HTTPTypes
internal import Hummingbird
internal import LatchkeyHummingbird
internal import LatchkeyVerifier

/// Answers a proxy that asks whether a request may go on, by the `Authorization` that the proxy hands over:
///
/// - `/check`, asked by nginx (`auth_request`), Caddy, Traefik and others. Its query, which the proxy's configuration
///   writes, says what a location needs: `/check?scope=orders:write&role=clerk`.
/// - `/envoy/…`, asked by Envoy (`ext_authz` over HTTP with `path_prefix: /envoy`) with the method, the path and the query
///   of the request in question. Nothing there is the configuration's, so nothing there is looked at; what is needed
///   Envoy adds as `X-Guard-Scope` and `X-Guard-Role`.
///
/// Any other path is refused: a misspelt one must not be a check that asks for less; and so is a request with an identity's
/// field in another spelling (`X.Auth.Roles`), which no proxy would replace. 200 with the identity's fields, 401
/// and 403 with a challenge, 503 while the list of what is revoked may be out of date.
struct AuthorizationCheck: Sendable {
    private let verify: @Sendable (String) async throws -> AccessToken
    private let requirement: Requirement
    private let authorization: GuardSettings.AuthorizationField

    init(
        requirement: Requirement, authorization: GuardSettings.AuthorizationField,
        _ verify: @escaping @Sendable (String) async throws -> AccessToken
    ) {
        self.verify = verify
        self.requirement = requirement
        self.authorization = authorization
    }

    private enum Asker { case proxy, envoy }

    /// - Throws: `BearerFailure`, `Refusal`.
    func respond(to request: Request, context: GuardContext) async throws -> Response {
        // A caller's, handed over by a proxy that hands it to the service, too.
        guard !request.headers.contains(where: { IdentityFields.isDisguised($0.name) }) else {
            throw Refusal.malformed(.badRequest)
        }
        let (asker, needed) = try needed(request)
        return try await BearerMiddleware(scopes: needed.scopes, roles: needed.roles, verify)
            .handle(request, context: context) { _, context in
                guard let token = context.accessToken else { throw BearerFailure.missing }
                return answer(IdentityFields(token), to: asker)
            }
    }

    private func needed(_ request: Request) throws(Refusal) -> (Asker, Requirement) {
        let target = (request.head.path ?? "").utf8
        let path = target.prefix { $0 != UInt8(ascii: "?") }
        do throws(Requirement.Fault) {
            if path.elementsEqual("/check".utf8) {
                let query = String(decoding: target[path.endIndex...].dropFirst(), as: UTF8.self)
                return (.proxy, try requirement.adding(query: query).adding(request.headers))
            }
            if path.starts(with: "/envoy/".utf8) { return (.envoy, try requirement.adding(request.headers)) }
        } catch {
            throw .requirement(error)
        }
        throw .noSuchCheck
    }

    private func answer(_ identity: IdentityFields, to asker: Asker) -> Response {
        var fields = identity.fields
        fields[.cacheControl] = "no-store"
        if asker == .envoy {
            // What Envoy is to take out of the caller's request: it replaces what is in the answer, and leaves the rest.
            var removed = identity.absent.map(\.rawValue)
            if authorization == .drop { removed.append("Authorization") }
            if !removed.isEmpty { fields[.toRemove] = removed.joined(separator: ",") }
        }
        return Response(status: .ok, headers: fields)
    }
}

extension HTTPField.Name {
    /// Envoy's `ext_authz`: fields of the caller's that do not reach the service.
    fileprivate static let toRemove = HTTPField.Name(fixed: "X-Envoy-Auth-Headers-To-Remove")
}
