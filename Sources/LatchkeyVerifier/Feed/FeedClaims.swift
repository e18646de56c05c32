internal import JOSE
internal import LibCrypto

/// What the feed's key signed: everything that a follower believes of a message, but for its entries.
struct FeedClaims: Sendable, Equatable {
    var position: FeedPosition
    /// What the entries come behind; nil: they are the whole list.
    var after: String?
    /// Milliseconds on the node's boot clock: every revocation acknowledged before is in the list up to `position`.
    var asOf: Int64
    /// The same clock when the message was made.
    var now: Int64
    /// Whose boot clock.
    var node: String
    /// The database's clock at `asOf`, never later: seconds since 1970, rounded down.
    var time: Int64
    var nonce: String?
    var count: Int
    /// Of the entries' binary forms.
    var digest: [UInt8]
}

/// Verifies messages of one issuer's feed.
struct FeedVerifier: Sendable {
    static let type = "latchkey-feed+jwt"

    let issuer: String
    /// The feed's own: a token's key signs nothing here, lest who steals one could say that nothing is revoked.
    let keys: VerificationKeys

    /// Verifies a message as it came over stream or answer: the signature, the issuer, and that `entries` are what was
    /// signed.
    func verify(_ signature: [UInt8], over entries: StagedEntries) throws(FeedFault) -> FeedClaims {
        guard let jws = try? JSONWebSignature(parsing: signature), jws.hasType(Self.type), let keyID = jws.keyID else {
            throw .malformed
        }
        guard let key = keys[keyID] else { throw .unknownKey }
        do throws(JSONWebSignatureError) {
            try jws.verify(with: key)
        } catch {
            throw .badSignature
        }
        guard let object = (try? JSONValue.parse(jws.payload))?.object else { throw .malformed }
        guard let given = object["iss"]?.string, given.isSameText(as: issuer) else { throw .wrongIssuer }
        guard let claims = FeedClaims(object) else { throw .malformed }
        guard claims.count == entries.count, claims.digest == entries.finishDigest() else { throw .wrongEntries }
        return claims
    }
}

extension FeedClaims {
    /// Nil where a claim is missing, of a wrong type or out of its range.
    init?(_ object: JSONObject) {
        // 278 years of milliseconds: nanoseconds of them fit, whatever is added.
        func instant(_ name: String) -> Int64? { object[name]?.int.flatMap { 0..<(1 << 43) ~= $0 ? $0 : nil } }
        guard let position = object["position"]?.string.flatMap({ FeedPosition($0) }),
            object["epoch"]?.string.flatMap({ UniqueID(text: $0) }) == position.epoch,
            let asOf = instant("as_of"), let now = instant("now"), asOf <= now,
            let node = object["node"]?.string, 1...64 ~= node.utf8.count,
            let time = instant("iat"),
            let count = object["count"]?.int, 0...Int64(StagedEntries.maximumCount) ~= count,
            let digest = object["digest"]?.string.flatMap({ Base64URL.decode($0.utf8) })
        else { return nil }
        for name in ["after", "nonce"] where object[name] != nil && object[name]?.string == nil { return nil }
        self.init(
            position: position, after: object["after"]?.string, asOf: asOf, now: now, node: node, time: time,
            nonce: object["nonce"]?.string, count: Int(count), digest: digest)
    }
}
