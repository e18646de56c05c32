import JOSE
import Synchronization

/// One request of a client, as the client saw it. All times are nanoseconds since the run began.
struct Operation: Sendable {
    enum Kind: Sendable, Equatable {
        /// Passwords are numbered, each account's from 0 on; none is used twice.
        case register(password: Int)
        case logIn(password: Int)
        /// The session's refresh token of that generation is presented.
        case refresh(UniqueID, generation: UInt32)
        /// Its access token is presented.
        case use(UniqueID)
        case revoke(UniqueID)
        /// One access token of the session alone, by its `jti`.
        case revokeAccess(UniqueID)
        case logOut(UniqueID)
        /// Every session of the account ends but the one.
        case changePassword(to: Int, keeping: UniqueID)
        case disable
        case enable
        case rotate
    }

    enum Outcome: Sendable, Equatable {
        case ok
        /// By this status, a 4xx. It has not happened, and will not.
        case refused(Int)
        /// 503, a broken connection, no answer in time: it may have happened, and may happen yet.
        case unknown
        /// An answer that no client should get: 500, or a 2xx that holds less than promised.
        case absurd(String)
    }

    /// What an answer with tokens held.
    struct Minted: Sendable {
        let sid: UniqueID
        /// The access token's `jti`.
        let tokenID: UniqueID
        /// The refresh token's.
        let generation: UInt32
        /// The access token's, NumericDate.
        let expiresAt: Int64
        let signer: String
    }

    let account: Int
    let kind: Kind
    let node: Int
    let start: Int64
    let end: Int64
    let outcome: Outcome
    var minted: Minted?
    /// Of the access token that was presented, to use it, to log out by it or to revoke it.
    var tokenID: UniqueID?
    /// A rotation's.
    var keyID: String?

    /// Whether it is certain that it had no effect.
    var isRefused: Bool { if case .refused = outcome { true } else { false } }

    /// Whether it has had its effect at some time between its start and its end, or may have it at any time from its start.
    var mayHaveHappened: Bool { !isRefused }

    var sid: UniqueID? {
        switch kind {
        case .refresh(let sid, _), .use(let sid), .revoke(let sid), .revokeAccess(let sid), .logOut(let sid): sid
        case .logIn: minted?.sid
        case .register, .changePassword, .disable, .enable, .rotate: nil
        }
    }
}

extension Operation: CustomStringConvertible {
    var description: String {
        let minted = minted.map { " → \($0.generation) of \($0.sid)" } ?? ""
        let token = tokenID.map { " of token \($0)" } ?? ""
        return "\(start / 1_000) to \(end / 1_000) µs, account \(account), node \(node): "
            + "\(kind)\(token) \(outcome)\(minted)"
    }
}

/// Everything that the clients did and saw.
final class History: Sendable {
    private let began = ContinuousClock.now
    private let all = Mutex<[Operation]>([])

    /// Nanoseconds since the run began.
    var now: Int64 { Int64((ContinuousClock.now - began) / .nanoseconds(1)) }

    func record(_ operation: Operation) { all.withLock { $0.append(operation) } }

    /// In the order of their ends.
    var operations: [Operation] { all.withLock { $0 } }

    var count: Int { all.withLock { $0.count } }
}
