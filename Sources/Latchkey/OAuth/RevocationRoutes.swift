package import Hummingbird
import JOSE
import LatchkeyVerifier

/// `POST /oauth2/revoke` (RFC 7009): a client revokes what was issued to it. Whoever holds a token of the first party may
/// revoke that one.
package struct RevocationRoutes: Sendable {
    private let tokens: TokenRevocation
    private let clients: Clients

    package init(_ tokens: TokenRevocation, clients: Clients) {
        self.tokens = tokens
        self.clients = clients
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/oauth2/revoke") { request, context in
            let form = try await FormBody(request)
            let claim = try ClaimedClient(form, request.headers) ?? .firstParty
            let client = try await clients.authenticate(claim)
            var origin = context.origin
            // A public client has proved nothing: whoever holds its token may be anybody.
            if claim.secret != nil { origin.actor = "client:\(client)" }
            let position = try await tokens.revoke(
                try form.required("token"), of: client, reason: nil, origin: origin)
            return Response(status: .ok, headers: [.cacheControl: "no-store"]).at(position)
        }
    }
}
