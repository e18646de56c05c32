package import JOSE
package import LibCrypto
package import Postgres

/// How a signing key stands at an instant. Nothing is stored: it is read off the clock, so that all nodes change over
/// at once without a message.
package enum SigningKeyState: String, Sendable, CaseIterable {
    /// In the JWKS, not signing yet.
    case published
    case active
    /// Signs no more; its last tokens live.
    case retired
    /// Left the JWKS.
    case removed
    case compromised
}

/// A signing key and its times.
package struct SigningKey: Sendable {
    /// RFC 7638 thumbprint.
    package let kid: String
    package let publicKey: JSONWebKey
    let sealed: [UInt8]?
    let masterKeyVersion: Int16
    /// Born with the empty installation: ripe at once, since no JWKS without it was ever served.
    package let isFounding: Bool
    package let createdAt: Instant
    /// nil until a transaction later than its birth has seen it committed.
    package let publishedAt: Instant?
    package let activatesAt: Instant?
    package let retiresAt: Instant?
    /// When the last token it signed is dead for everybody; nil until a transaction later than its retirement has seen
    /// that committed.
    package let leavesAt: Instant?
    package let removedAt: Instant?
    package let compromisedAt: Instant?
    package var holder: KeyHolder = .database
    /// Wiped here, and not destroyed yet in the token that held it.
    package var isLeftInToken = false

    /// Until it is wiped.
    var hasPrivateHalf: Bool { sealed != nil || holder == .token }

    package var algorithm: SignatureAlgorithm { publicKey.publicKey.algorithm }

    package func state(at now: Instant) -> SigningKeyState {
        if compromisedAt != nil { return .compromised }
        if let removedAt, removedAt <= now { return .removed }
        if let retiresAt, retiresAt <= now { return .retired }
        if let activatesAt, activatesAt <= now { return .active }
        return .published
    }

    package func isInJWKS(at now: Instant) -> Bool {
        switch state(at: now) {
        case .published, .active, .retired: true
        case .removed, .compromised: false
        }
    }

    /// When every verifier that obeys the JWKS's `max-age` knows the key; nil while it is unstamped.
    /// - Parameter lead: seconds a key stands in the JWKS before it signs.
    package func ripeAt(lead: Int64) -> Instant? {
        guard let publishedAt else { return nil }
        return isFounding ? publishedAt : publishedAt + lead
    }

    /// Neither signing nor chosen to.
    package var isStandby: Bool { activatesAt == nil && removedAt == nil && compromisedAt == nil }

    /// It signs, or is about to, and has no successor yet.
    var isLastSigner: Bool { activatesAt != nil && retiresAt == nil && compromisedAt == nil }

    func begins(after instant: Instant) -> Bool { activatesAt.map { $0 > instant } ?? false && compromisedAt == nil }
}
