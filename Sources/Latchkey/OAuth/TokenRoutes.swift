import HTTPTypes
package import Hummingbird
import JOSE

/// `POST /oauth2/token` (RFC 6749 §3.2): `refresh_token` (§6) and `client_credentials` (§4.4). The built-in public client
/// needs no `client_id`.
package struct TokenRoutes: Sendable {
    private let sessions: Sessions
    private let clients: Clients
    private let clientTokens: ClientTokens

    package init(_ sessions: Sessions, clients: Clients, clientTokens: ClientTokens) {
        self.sessions = sessions
        self.clients = clients
        self.clientTokens = clientTokens
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/oauth2/token") { request, _ in
            let form = try await FormBody(request, repeatable: "resource")
            let claim = try ClaimedClient(form, request.headers) ?? .firstParty
            switch GrantType(text: try form.required("grant_type")) {
            case .refreshToken:
                let client = try await clients.authenticate(claim, for: .refreshToken)
                let tokens = try await sessions.refresh(try form.required("refresh_token"), clientID: client)
                return Response.json(tokens.json(withSession: .hidden), caching: .noStore)
            case .clientCredentials:
                let answer = try await clientTokens.grant(
                    claim, scope: form.optional("scope"), resources: form.all("resource"))
                return Response.json(answer.json, caching: .noStore)
            case .authorizationCode, nil:
                throw Rejection.unsupportedGrantType
            }
        }
    }
}
