internal import HTTPTypes
internal import Synchronization

/// What every answer of one port carries, whom it believes, and how much it takes at once.
package final class EdgePolicy: Sendable {
    let proxies: TrustedProxies
    /// Behind these a route's own fields stand.
    let fields: HTTPFields
    private let limit: Int
    private let underWay = Atomic(0)

    package enum Transport: Sendable {
        /// Browsers are told never to come without TLS again (RFC 6797).
        case strict
        case plain
    }

    /// - Parameter requests: how many may be under way at once.
    package init(proxies: TrustedProxies = .none, transport: Transport = .plain, requests: Int = .max) {
        self.proxies = proxies
        limit = requests
        // No answer is a page: nothing in it runs, loads or stands in a frame, whatever a browser takes it for.
        var fields: HTTPFields = [
            .xContentTypeOptions: "nosniff",
            .contentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'",
            .referrerPolicy: "no-referrer",
        ]
        if transport == .strict { fields[.strictTransportSecurity] = "max-age=31536000" }
        self.fields = fields
    }

    /// - Returns: whether the request may go on; `leave` is called in either case.
    func enter() -> Bool {
        underWay.wrappingAdd(1, ordering: .relaxed).newValue <= limit
    }

    func leave() {
        underWay.wrappingSubtract(1, ordering: .relaxed)
    }
}

extension HTTPField.Name {
    static let referrerPolicy = HTTPField.Name(known: "referrer-policy")
    static let xForwardedFor = HTTPField.Name(known: "x-forwarded-for")
}
