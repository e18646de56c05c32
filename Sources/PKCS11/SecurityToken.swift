import CPKCS11
package import LibCrypto
import Synchronization

/// The token that holds the installation's private keys, found by its label. Nothing is opened before the first use.
///
/// Every call blocks until the token answers: threads of one's own alone call it. A session is opened for each thread that
/// signs at once, and kept. Where the token lost them (it was restarted, unplugged, or another library of this process
/// closed them) everything is opened again and the call made once more. The next failure is the caller's, and the module
/// begins anew behind it.
package final class SecurityToken: Sendable {
    private let path: String
    private let sessions: TokenSessions
    /// Of a signature: a token that is full makes no keys, and signs.
    private let lastFailure = Mutex<SecurityTokenError?>(nil)
    /// Keys that were not there when they were last asked to sign, and the beginning of the module in which that was found,
    /// or in which they were last looked for again.
    private let missing = Mutex<[[UInt8]: Int]>([:])
    /// Seconds.
    private static let searchInterval = 60
    /// When each signature under way was begun. (Keys are made in up to a minute.)
    private let underWay = Mutex<[UInt64: ContinuousClock.Instant]>([:])
    /// By when each making or destroying of a key under way should have ended.
    private let changes = Mutex<[UInt64: ContinuousClock.Instant]>([:])
    private let calls = Atomic<UInt64>(0)
    /// A token that has not signed by then does not answer.
    private static let patience: Duration = .seconds(2)
    /// A token that has not made a key by then never will.
    package static let longestGeneration: Duration = .seconds(120)

    /// - Parameters:
    ///   - module: the path of the vendor's PKCS #11 library.
    ///   - label: the token's `CKA_LABEL`, at most 32 bytes.
    package init(module path: String, label: String, pin: SecretBytes) {
        self.path = path
        sessions = TokenSessions(label: label, pin: pin)
    }

    /// How the last signature ended, or that one does not end; nil: well, or there was none yet. That a key is missing is
    /// not the token's failure: others of it sign.
    package var failure: SecurityTokenError? { hangs ? .doesNotAnswer : lastFailure.withLock { $0 } }

    /// The same for the key whose CKA_ID is `id`, or that it is missing.
    package func failure(of id: [UInt8]) -> SecurityTokenError? {
        failure ?? (missing.withLock { $0[id] } == nil ? nil : .noKey)
    }

    private var hangs: Bool {
        let limit = ContinuousClock.now - Self.patience
        return underWay.withLock { $0.values.contains { $0 < limit } }
    }

    /// Whether a key has been in the making, or being destroyed, for longer than a token takes for that: nothing more of the
    /// kind is asked of it, since each call would keep a thread and a session. It may sign all the same.
    package var isStuck: Bool {
        let now = ContinuousClock.now
        return changes.withLock { $0.values.contains { $0 < now } }
    }

    /// What a token can sign by. Ed25519 is not among it: PKCS #11 2.40 has none, and tokens that do differ.
    package static let algorithms: [SignatureAlgorithm] = [.rs256, .ps256, .es256]

    /// The private key whose CKA_ID is `id`. It is looked for at its first signature: nothing blocks here.
    package func key(_ publicKey: PublicKey, id: [UInt8]) -> PrivateKey {
        PrivateKey(publicKey, half: TokenPrivateHalf(self, publicKey.algorithm, id: id))
    }

    /// Makes a key pair in the token: sensitive, not extractable. RSA of 2,048 bits takes a token up to a minute.
    ///
    /// - Parameters:
    ///   - limit: what it takes at the most; behind that the token counts as stuck.
    ///   - id: the CKA_ID to find it by, from its public half. It is set before this returns.
    package func generate(
        _ algorithm: SignatureAlgorithm, within limit: Duration = SecurityToken.longestGeneration,
        id: (PublicKey) -> [UInt8]
    ) throws(SecurityTokenError) -> PrivateKey {
        guard Self.algorithms.contains(algorithm) else { throw .unsupported(algorithm.rawValue) }
        // What finds a pair again that was made before the token was lost: by then its handle may be another object's.
        let birthName = SecureRandom.bytes(32)
        var names: [[UInt8]] = []
        let call = beginChange(within: limit)
        defer { endChange(call) }
        return try perform(.changing) { session throws(SecurityTokenError) in
            for name in names { _ = try session.destroy(id: name) }
            names = [birthName]
            let pair = try session.generate(bits: algorithm == .es256 ? 0 : 2048, id: birthName)
            do throws(SecurityTokenError) {
                let publicKey = try Self.publicKey(algorithm, pair.publicHalf, in: session)
                let name = id(publicKey)
                names.append(name)
                try session.name(pair.privateHalf, name)
                try session.name(pair.publicHalf, name)
                return key(publicKey, id: name)
            } catch {
                // Nobody would ever find it again.
                try? session.destroy(pair.privateHalf)
                try? session.destroy(pair.publicHalf)
                throw error
            }
        }
    }

    /// Destroys the key pair, for good. None is no error.
    package func destroy(id: [UInt8]) throws(SecurityTokenError) {
        let call = beginChange(within: Self.patience)
        defer { endChange(call) }
        let count = try perform(.changing) { session throws(SecurityTokenError) in try session.destroy(id: id) }
        guard count == 0 else { return }
        // One that went away may seem to be there, and empty, until the module begins anew.
        try TokenModule.load(path).restart()
        _ = try perform(.changing) { session throws(SecurityTokenError) in try session.destroy(id: id) }
    }

    private func beginChange(within limit: Duration) -> UInt64 {
        let call = calls.add(1, ordering: .relaxed).newValue
        changes.withLock { $0[call] = .now + limit }
        return call
    }

    private func endChange(_ call: UInt64) { changes.withLock { _ = $0.removeValue(forKey: call) } }

    func sign(
        _ message: [UInt8], by algorithm: SignatureAlgorithm, id: [UInt8]
    ) throws(SecurityTokenError) -> [UInt8] {
        let (mechanism, input): (lk_mechanism, [UInt8])
        switch algorithm {
        case .rs256: (mechanism, input) = (LK_RS256, message)
        case .ps256: (mechanism, input) = (LK_PS256, message)
        // Tokens that hash for ECDSA are few.
        case .es256: (mechanism, input) = (LK_ECDSA, SHA256.digest(message))
        case .edDSA: throw .unsupported(algorithm.rawValue)
        }
        // A thread for each that would wait behind it: a hanging token must not take them all.
        guard !hangs else { throw .doesNotAnswer }
        // Else the module might never be free to begin anew, as long as enough of them fail.
        if let last = lastFailure.withLock({ $0 }), last.isLoss, try TokenModule.load(path).isLetGo { throw last }
        let call = calls.add(1, ordering: .relaxed).newValue
        underWay.withLock { $0[call] = .now }
        defer { underWay.withLock { _ = $0.removeValue(forKey: call) } }
        do throws(SecurityTokenError) {
            let signature = try perform(.signing) { session throws(SecurityTokenError) in
                try session.sign(input, mechanism: mechanism, id: id)
            }
            missing.withLock { _ = $0.removeValue(forKey: id) }
            return signature
        } catch {
            // The module begins anew once nobody uses it: for whoever comes next.
            if error == .noKey { try search(for: id) } else if error.isLoss { try TokenModule.load(path).restartSoon() }
            throw error
        }
    }

    /// A token that was exchanged or came back shows its objects to a module that begins anew, to whoever comes next. Now
    /// and then only: it takes every other key's session with it. What counts is the beginning that happened, not the one
    /// that was asked for: a token that blinks twice is not away for as long.
    private func search(for id: [UInt8]) throws(SecurityTokenError) {
        let module = try TokenModule.load(path)
        let (generation, age) = module.beginning
        let isDue = missing.withLock { missing in
            let isNews = missing[id].map { $0 < generation && age >= Self.searchInterval } ?? true
            if isNews { missing[id] = generation }
            return missing[id] == generation
        }
        if isDue { module.restartSoon() }
    }

    private static func publicKey(
        _ algorithm: SignatureAlgorithm, _ object: CK_OBJECT_HANDLE, in session: TokenSession
    ) throws(SecurityTokenError) -> PublicKey {
        let components: PublicKey.Components
        if algorithm == .es256 {
            // An OCTET STRING of an uncompressed point (PKCS #11 2.40 §2.3.3); some tokens leave the wrapping off.
            let point = try session.number(LK_POINT, of: object)
            let raw = point.starts(with: [0x04, 0x41, 0x04]) && point.count == 67 ? Array(point[2...]) : point
            guard raw.count == 65, raw[0] == 4 else { throw .malformedKey }
            components = .p256(x: Array(raw[1..<33]), y: Array(raw[33...]))
        } else {
            // Some tokens pad with zeros; a JWK has none.
            components = .rsa(
                modulus: Array(try session.number(LK_MODULUS, of: object).drop { $0 == 0 }),
                exponent: Array(try session.number(LK_EXPONENT, of: object).drop { $0 == 0 }))
        }
        do throws(CryptoError) {
            return try PublicKey(components, algorithm: algorithm)
        } catch {
            throw .malformedKey
        }
    }

    /// Lends `body` a session; opens everything again and tries once more where the token has lost it.
    func perform<R>(
        _ use: TokenSession.Use, _ body: (inout TokenSession) throws(SecurityTokenError) -> R
    ) throws(SecurityTokenError) -> R {
        do throws(SecurityTokenError) {
            let module = try TokenModule.load(path)
            let result: R
            do throws(SecurityTokenError) {
                result = try sessions.lend(use, module, body)
            } catch {
                guard error.isLoss else { throw error }
                do throws(SecurityTokenError) {
                    result = try sessions.lend(use, module, body)
                } catch {
                    // For whoever comes next.
                    if error.isLoss, use == .changing { module.restart() }
                    throw error
                }
            }
            if use == .signing { lastFailure.withLock { $0 = nil } }
            return result
        } catch {
            if use == .signing { lastFailure.withLock { $0 = error == .noKey ? nil : error } }
            throw error
        }
    }
}

/// A private half in the token.
final class TokenPrivateHalf: PrivateHalf {
    private let token: SecurityToken
    private let algorithm: SignatureAlgorithm
    private let id: [UInt8]

    init(_ token: SecurityToken, _ algorithm: SignatureAlgorithm, id: [UInt8]) {
        self.token = token
        self.algorithm = algorithm
        self.id = id
    }

    func sign(_ message: [UInt8]) throws(CryptoError) -> [UInt8] {
        do throws(SecurityTokenError) {
            return try token.sign(message, by: algorithm, id: id)
        } catch {
            // Why, the token itself remembers.
            throw .unreachable
        }
    }

    func pkcs8() throws(CryptoError) -> SecretBytes { throw .heldElsewhere }
}
