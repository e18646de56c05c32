import HTTPTypes
package import Hummingbird
package import JOSE
package import LibCrypto
import Synchronization

/// The metadata documents (RFC 8414, OpenID Connect Discovery 1.0): what is there, and no more.
package struct DiscoveryRoutes: Sendable {
    package static let paths = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]

    private let metadata: JSONObject
    private let encoded = Encoded()
    private let revocationKeys: @Sendable () -> JSONValue?

    /// - Parameters:
    ///   - algorithms: what tokens may be signed by, the installation's own first.
    ///   - statusLists: nil: there are none.
    ///   - revocationKeys: the JWKS of the feed. It changes where a master key leaks.
    package init(
        issuer: String, algorithms: [SignatureAlgorithm], statusLists: StatusListAddresses?,
        revocationKeys: @escaping @Sendable () -> JSONValue?
    ) {
        self.revocationKeys = revocationKeys
        var metadata: JSONObject = [
            "issuer": .string(issuer),
            "jwks_uri": .string(issuer + "/.well-known/jwks.json"),
            "token_endpoint": .string(issuer + "/oauth2/token"),
            "revocation_endpoint": .string(issuer + "/oauth2/revoke"),
            "introspection_endpoint": .string(issuer + "/oauth2/introspect"),
            "grant_types_supported": ["refresh_token", "client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
            "access_token_signing_alg_values_supported": .array(algorithms.map { .string($0.rawValue) }),
            "latchkey_revocations_endpoint": .string(issuer + "/revocations"),
        ]
        if let statusLists { metadata["status_list_aggregation_endpoint"] = .string(statusLists.aggregation) }
        self.metadata = metadata
    }

    private var answer: Response {
        let keys = revocationKeys()
        return encoded.latest.withLock { latest in
            if let latest, latest.keys == keys { return latest.answer }
            var metadata = metadata
            metadata["latchkey_revocations_jwks"] = keys
            let answer = Response(
                status: .ok,
                headers: [
                    .contentType: "application/json", .cacheControl: "public, max-age=300",
                    .accessControlAllowOrigin: "*",
                ], body: .init(byteBuffer: ByteBuffer(bytes: metadata.encoded())))
            latest = (keys, answer)
            return answer
        }
    }

    /// The documents as they were served last, under the keys that stood in them.
    private final class Encoded: Sendable {
        let latest = Mutex<(keys: JSONValue?, answer: Response)?>(nil)
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        for path in Self.paths {
            router.get(RouterPath(path)) { _, _ in answer }
        }
    }
}
