package import HTTPTypes
package import Hummingbird
package import JOSE

/// Whether anyone but the caller may keep an answer.
package enum Caching: Sendable {
    /// For what holds a token, a secret or someone's own data.
    case noStore
    /// Nothing is said, or the handler says it itself.
    case unsaid
}

extension Response {
    /// An answer of JSON in UTF-8.
    package static func json(
        _ value: JSONValue, status: HTTPResponse.Status = .ok, caching: Caching = .unsaid, headers: HTTPFields = [:]
    ) -> Response {
        body(value, type: "application/json", status: status, caching: caching, headers: headers)
    }

    /// 201, with the path of what was made.
    package static func created(_ value: JSONValue, location: String, caching: Caching = .unsaid) -> Response {
        json(value, status: .created, caching: caching, headers: [.location: location])
    }

    /// 204.
    package static func noContent(caching: Caching = .unsaid) -> Response {
        Response(status: .noContent, headers: caching.headers)
    }

    /// A page of a list: `{"items": […], "next": CURSOR}`; the last page has no `next`.
    package static func page(_ items: [JSONValue], next: String?, caching: Caching = .noStore) -> Response {
        json(.object(JSONObject([("items", .array(items)), ("next", next.map { .string($0) })])), caching: caching)
    }

    /// RFC 9457 §3: `application/problem+json`.
    package static func problem(_ problem: Problem) -> Response {
        body(
            problem.body, type: "application/problem+json", status: .init(code: problem.status), caching: .noStore,
            headers: problem.headers)
    }

    /// RFC 6749 §5.2.
    package static func oauthError(_ error: OAuthError) -> Response {
        json(error.body, status: .init(code: error.status), caching: .noStore, headers: error.headers)
    }

    private static func body(
        _ value: JSONValue, type: String, status: HTTPResponse.Status, caching: Caching, headers: HTTPFields
    ) -> Response {
        var fields = headers
        fields[.contentType] = type
        fields.append(contentsOf: caching.headers)
        return Response(status: status, headers: fields, body: .init(byteBuffer: ByteBuffer(bytes: value.encoded())))
    }
}

extension Caching {
    fileprivate var headers: HTTPFields {
        switch self {
        case .noStore: [.cacheControl: "no-store"]
        case .unsaid: [:]
        }
    }
}
