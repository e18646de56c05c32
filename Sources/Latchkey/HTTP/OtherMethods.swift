package import Hummingbird
internal import HTTPTypes

extension Router where Context == LatchkeyRequestContext {
    /// Makes every path that has routes answer OPTIONS with its methods and the methods that it has not with 405;
    /// Hummingbird itself says 404. To be called once, after the last route; `routes` lists these too from then on.
    ///
    /// - Parameters:
    ///   - heads: whether the router makes HEAD routes of its GET routes by itself.
    ///   - open: the paths whose GET scripts of every origin may read. Their preflight is answered so (Fetch §3.2.2).
    package func refuseOtherMethods(heads: HeadRoutes, open: Set<String> = []) {
        let paths = Dictionary(grouping: routes, by: \.path.description)
        for routes in paths.values {
            guard let path = routes.first?.path else { continue }
            var present = Set(routes.map(\.method))
            if heads == .generated, present.contains(.get) { present.insert(.head) }
            present.insert(.options)
            let allowed = present.map(\.rawValue).sorted()
            if !routes.contains(where: { $0.method == .options }) {
                let answer = Self.options(allowed, to: open.contains(path.description) ? .everyOrigin : .none)
                on(path, method: .options) { _, _ in answer }
            }
            for method in Self.refusable where !present.contains(method) {
                on(path, method: method) { _, _ -> Response in throw Rejection.methodNotAllowed(allowed: allowed) }
            }
        }
    }

    private enum Openness { case everyOrigin, none }

    private static func options(_ allowed: [String], to openness: Openness) -> Response {
        var headers = Rejection.allow(allowed)
        if openness == .everyOrigin {
            headers[.accessControlAllowOrigin] = "*"
            headers[.accessControlAllowMethods] = "GET, HEAD"
            headers[.accessControlAllowHeaders] = "*"
            headers[.accessControlMaxAge] = "86400"
        }
        return Response(status: .noContent, headers: headers)
    }

    private static var refusable: [HTTPRequest.Method] {
        [.get, .head, .post, .put, .delete, .trace, .patch]
    }
}

/// Who makes HEAD routes: Hummingbird does with `RouterOptions.autoGenerateHeadEndpoints`.
package enum HeadRoutes: Sendable {
    case generated
    case written
}
