package import Hummingbird
import JOSE
import LatchkeyVerifier

/// `POST /oauth2/revoke` (RFC 7009): whoever holds a token of the first party may revoke it.
package struct RevocationRoutes: Sendable {
    private let tokens: TokenRevocation

    package init(_ tokens: TokenRevocation) {
        self.tokens = tokens
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/oauth2/revoke") { request, context in
            let form = try await FormBody(request)
            _ = try TokenRoutes.client(form, request)
            let token = try form.required("token")
            let position = try await tokens.revoke(token, reason: nil, origin: context.origin)
            return Response(status: .ok, headers: [.cacheControl: "no-store"]).at(position)
        }
    }
}
