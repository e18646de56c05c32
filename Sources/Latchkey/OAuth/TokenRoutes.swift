import HTTPTypes
package import Hummingbird
import JOSE

/// `POST /oauth2/token` (RFC 6749 §3.2). So far one grant, `refresh_token` (§6), for the built-in public client.
package struct TokenRoutes: Sendable {
    private let sessions: Sessions

    package init(_ sessions: Sessions) {
        self.sessions = sessions
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/oauth2/token") { request, _ in
            let form = try await FormBody(request)
            let client = try Self.client(form, request)
            guard try form.required("grant_type").isSameText(as: "refresh_token") else {
                throw Rejection.unsupportedGrantType
            }
            let tokens = try await sessions.refresh(try form.required("refresh_token"), clientID: client)
            return Response.json(tokens.json(withSession: .hidden), caching: .noStore)
        }
    }

    /// The first party needs no authentication and no `client_id`; no other client exists yet.
    static func client(_ form: FormBody, _ request: Request) throws(Rejection) -> String {
        guard request.headers[.authorization] == nil, form.optional("client_secret") == nil,
            form.optional("client_id").map({ $0.isSameText(as: Client.firstParty) }) ?? true
        else { throw .invalidClient }
        return Client.firstParty
    }
}
