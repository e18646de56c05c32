import JOSE
import Synchronization

/// A token whose signature was verified, and nothing else: neither time nor revocation.
package struct AuthenticToken: Sendable {
    let claims: AccessTokenClaims
    let keyID: String

    init(claims: AccessTokenClaims, keyID: String) {
        self.claims = claims
        self.keyID = keyID
    }
}

/// Authentic tokens that were seen lately, so that a caller who comes again with the same one costs no second RSA
/// verification. What can change (the keys published, the time, the revocation list) is asked afresh each time.
///
/// Only what verified gets in, so nobody can fill it with forgeries. Two generations of at most `capacity` tokens each:
/// when the young one is full it becomes the old one, and what nobody asked for meanwhile is forgotten.
package final class AuthenticTokens: Sendable {
    private struct Key: Hashable {
        /// The caller's own text: nothing is copied to look for it.
        let token: String

        /// The end of the signature tells tokens apart; two that agree in it are still compared whole.
        func hash(into hasher: inout Hasher) {
            hasher.combine(token.utf8.suffix(10).reduce(UInt64(0)) { $0 << 6 ^ UInt64($1) })
        }

        static func == (a: Key, b: Key) -> Bool { a.token.isSameText(as: b.token) }
    }

    private struct Generations {
        var young: [Key: AuthenticToken] = [:]
        var old: [Key: AuthenticToken] = [:]
    }

    private let capacity: Int
    private let generations = Mutex(Generations())

    package init(capacity: Int = 1024) {
        self.capacity = capacity
    }

    /// What `TokenVerifier.authenticate` says of `token`, from memory where its key still stands in `keys`.
    package func authenticate(_ token: String, keys: VerificationKeys) throws(TokenRejection) -> AuthenticToken {
        let key = Key(token: token)
        if let known = recall(key) {
            // A key that left the JWKS takes its tokens along.
            guard keys[known.keyID] != nil else { throw .unknownKey }
            return known
        }
        let authentic = try TokenVerifier.authenticate(Array(token.utf8), keys: keys)
        keep(authentic, key)
        return authentic
    }

    /// How many tokens are remembered.
    package var count: Int { generations.withLock { $0.young.count + $0.old.count } }

    private func recall(_ key: Key) -> AuthenticToken? {
        let (found, isOld) = generations.withLock { generations in
            if let young = generations.young[key] { return (young as AuthenticToken?, false) }
            return (generations.old[key], true)
        }
        if let found, isOld { keep(found, key) }
        return found
    }

    private func keep(_ token: AuthenticToken, _ key: Key) {
        // What is dropped is freed outside the lock.
        var dropped: [Key: AuthenticToken] = [:]
        generations.withLock { generations in
            if generations.young.count >= capacity {
                swap(&dropped, &generations.old)
                swap(&generations.old, &generations.young)
            }
            generations.young[key] = token
        }
    }
}
