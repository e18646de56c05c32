import JOSE
import LibCrypto
import NIOCore
import Postgres

/// A status list token (draft-ietf-oauth-status-list §5.1) as it is served.
///
/// It names neither `iss` nor `aud`, and has a `typ` of its own: anybody can get it, and no verifier of access tokens must
/// take it for one.
struct StatusListToken: Sendable {
    static let type = "statuslist+jwt"

    let body: ByteBuffer
    /// A strong validator (RFC 9110 §8.8.3).
    let etag: String

    struct Claims: Sendable {
        /// `sub`: the list's own address.
        let uri: String
        let aggregationURI: String
        /// As of when the list is complete; the database's clock.
        let issuedAt: Instant
        /// Seconds from `iat` to `exp`.
        let life: Int64
        /// Seconds.
        let ttl: Int64
        /// The bits, compressed, in base64url.
        let list: String

        func encoded() -> [UInt8] {
            let payload: JSONObject = [
                "sub": .string(uri), "iat": .integer(issuedAt.seconds), "exp": .integer(issuedAt.seconds + life),
                "ttl": .integer(ttl),
                "status_list": ["bits": 1, "lst": .string(list), "aggregation_uri": .string(aggregationURI)],
            ]
            return payload.encoded()
        }
    }

    /// Signs here and now: RSA takes up to 1 ms of this thread.
    init(_ claims: Claims, key: PrivateKey, keyID: String) throws(CryptoError) {
        let text = try JSONWebSignature.sign(payload: claims.encoded(), key: key, keyID: keyID, type: Self.type)
        body = ByteBuffer(string: text)
        etag = "\"\(Base64URL.encode(SHA256.digest(Array(text.utf8))))\""
    }
}
