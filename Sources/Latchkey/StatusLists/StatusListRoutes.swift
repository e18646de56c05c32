import HTTPTypes
package import Hummingbird
import JOSE

/// `GET /status-lists/{list}` and `GET /status-lists` (draft-ietf-oauth-status-list §8 and §9): for anybody, as the
/// standard's verifiers have no credentials to show.
package struct StatusListRoutes: Sendable {
    package static let paths = ["/status-lists", "/status-lists/{list}"]
    static let contentType = "application/statuslist+jwt"

    private let lists: StatusLists

    package init(_ lists: StatusLists) {
        self.lists = lists
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get(RouterPath(Self.paths[0])) { _, _ in
            let uris = try await lists.uris()
            return Response.json(
                ["status_lists": .array(uris.map { .string($0) })], headers: cached([:]))
        }
        router.get(RouterPath(Self.paths[1])) { request, context in
            let query = try FormBody(bytes: Array((request.uri.query ?? "").utf8))
            // §8.4: who asks how it was then must not take how it is now for the answer.
            guard query.optional("time") == nil else { throw Rejection.historyNotImplemented }
            guard let id = StatusListID(text: try context.pathParameter("list")) else {
                throw Rejection.notFound(what: "status list")
            }
            let token = try await lists.token(of: id)
            let fields = cached([.contentType: Self.contentType, .eTag: token.etag])
            if request.headers.contains(.ifNoneMatch),
                JWKSRoutes.holds(request.headers[values: .ifNoneMatch], token.etag)
            {
                return Response(status: .notModified, headers: fields)
            }
            return Response(status: .ok, headers: fields, body: .init(byteBuffer: token.body))
        }
    }

    private func cached(_ others: HTTPFields) -> HTTPFields {
        var fields = others
        fields[.cacheControl] = "public, max-age=\(lists.settings.ttl)"
        fields[.accessControlAllowOrigin] = "*"
        return fields
    }
}
