package import Hummingbird
internal import HTTPTypes

extension Router where Context == LatchkeyRequestContext {
    /// Makes every path that has routes answer 405 with `Allow` to the methods that it has not; Hummingbird itself says
    /// 404. To be called once, after the last route; `routes` lists these refusals too from then on.
    ///
    /// - Parameter heads: whether the router makes HEAD routes of its GET routes by itself.
    package func refuseOtherMethods(heads: HeadRoutes) {
        let paths = Dictionary(grouping: routes, by: \.path.description)
        for routes in paths.values {
            guard let path = routes.first?.path else { continue }
            var present = Set(routes.map(\.method))
            if heads == .generated, present.contains(.get) { present.insert(.head) }
            let allowed = present.map(\.rawValue).sorted()
            for method in Self.refusable where !present.contains(method) {
                on(path, method: method) { _, _ -> Response in throw Rejection.methodNotAllowed(allowed: allowed) }
            }
        }
    }

    private static var refusable: [HTTPRequest.Method] {
        [.get, .head, .post, .put, .delete, .options, .trace, .patch]
    }
}

/// Who makes HEAD routes: Hummingbird does with `RouterOptions.autoGenerateHeadEndpoints`.
package enum HeadRoutes: Sendable {
    case generated
    case written
}
