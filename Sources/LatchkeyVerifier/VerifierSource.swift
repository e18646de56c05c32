internal import JOSE

/// Where a verifier gets keys and revocations from.
public struct VerifierSource: Sendable {
    enum Place: Sendable {
        case discovery
        case endpoints(keys: String, revocations: String)
        case mirror(keys: String, revocations: String)
    }

    let place: Place
    /// A JWKS as text; nil: the discovery document's.
    let feedKeys: String?
    let clockError: Duration

    /// The issuer itself, by its discovery document (OpenID Connect Discovery 1.0 §4). What one mostly wants.
    public static let discovery = VerifierSource(place: .discovery, feedKeys: nil, clockError: .zero)

    /// The issuer itself, at addresses of your own choice: inside a cluster it may have another name than outside.
    ///
    /// - Parameters:
    ///   - keys: the JWKS.
    ///   - revocations: the feed.
    ///   - feedKeys: the feed's own: the member `latchkey_revocations_jwks` of the discovery document, as JSON text.
    public static func endpoints(keys: String, revocations: String, feedKeys: String) -> VerifierSource {
        VerifierSource(place: .endpoints(keys: keys, revocations: revocations), feedKeys: feedKeys, clockError: .zero)
    }

    /// A mirror, cache or CDN that need not be trusted with revocations: it can withhold them, never invent or hide one
    /// unseen. It is polled; how fresh its list is proves the signed time in it, held against **this machine's wall
    /// clock**.
    ///
    /// - Parameters:
    ///   - keys: the JWKS. Whoever serves it can sign tokens: take it from the issuer, or from who is as trusted.
    ///   - revocations: the mirrored list.
    ///   - feedKeys: pinned, the member `latchkey_revocations_jwks` of the discovery document as JSON text.
    ///   - clockError: by how much this machine's wall clock may be wrong, 0 to 60 s. It is added to the list's age.
    public static func mirror(
        keys: String, revocations: String, pinned feedKeys: String, clockError: Duration
    ) -> VerifierSource {
        VerifierSource(
            place: .mirror(keys: keys, revocations: revocations), feedKeys: feedKeys, clockError: clockError)
    }

    var proof: FollowerState.Proof {
        guard case .mirror = place else { return .nonce }
        return .wallClock(errorMilliseconds: clockError.nanoseconds / 1_000_000)
    }
}

/// Where to ask, and by which keys the feed is verified.
struct Directions: Sendable {
    let keys: Endpoint
    let revocations: Endpoint
    let feedKeys: VerificationKeys

    init(keys: Endpoint, revocations: Endpoint, feedKeys: VerificationKeys) {
        self.keys = keys
        self.revocations = revocations
        self.feedKeys = feedKeys
    }

    /// Reads a discovery document.
    ///
    /// - Throws: `FetchFailure.malformed`; also where it is another issuer's (RFC 8414 §3.3: it could name its own
    ///   keys).
    init(discovery bytes: [UInt8], issuer: String) throws(FetchFailure) {
        guard let document = (try? JSONValue.parse(bytes))?.object else {
            throw .malformed("discovery is no JSON object")
        }
        guard let given = document["issuer"]?.string, given.isSameText(as: issuer) else {
            throw .malformed("discovery of another issuer")
        }
        guard let keys = document["jwks_uri"]?.string.flatMap({ Endpoint($0) }) else {
            throw .malformed("discovery without a usable jwks_uri")
        }
        guard let revocations = document["latchkey_revocations_endpoint"]?.string.flatMap({ Endpoint($0) }),
            let feedKeys = document["latchkey_revocations_jwks"].flatMap({ VerificationKeys(feed: $0) })
        else { throw .malformed("discovery without a usable revocation feed") }
        self.init(keys: keys, revocations: revocations, feedKeys: feedKeys)
    }
}

extension VerificationKeys {
    /// The feed's keys of a JWKS; nil where there is none that is understood.
    init?(feed jwks: JSONValue) {
        guard let set = try? JSONWebKeySet(parsing: jwks.encoded()), !set.keys.isEmpty else { return nil }
        self.init(set.keys)
    }
}
