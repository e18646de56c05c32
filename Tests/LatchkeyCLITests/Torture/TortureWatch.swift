import JOSE
import Synchronization

/// What all parties of a run share: whether it is over, and who holds what.
final class TortureWatch: Sendable {
    struct Holding: Sendable {
        let account: Int
        let store: TokenStore
    }

    struct RevokedToken: Sendable {
        let holding: Holding
        let tokens: TokenStore.Tokens
    }

    private struct State {
        var isOver = false
        var holdings: [Holding] = []
        /// Whose end was acknowledged.
        var ended: [Holding] = []
        /// Access tokens whose revocation was acknowledged.
        var revoked: [RevokedToken] = []
        var stolen: Set<UniqueID> = []
        var passwords: [Int: Int] = [:]
    }

    private let state = Mutex(State())

    var isOver: Bool { state.withLock { $0.isOver } }

    func end() { state.withLock { $0.isOver = true } }

    func took(_ store: TokenStore, of account: Int) {
        state.withLock { $0.holdings.append(Holding(account: account, store: store)) }
    }

    func ended(_ store: TokenStore, of account: Int) {
        state.withLock { $0.ended.append(Holding(account: account, store: store)) }
    }

    func revoked(_ tokens: TokenStore.Tokens, of store: TokenStore, of account: Int) {
        let token = RevokedToken(holding: Holding(account: account, store: store), tokens: tokens)
        state.withLock { $0.revoked.append(token) }
    }

    func stole(_ sid: UniqueID) { state.withLock { _ = $0.stolen.insert(sid) } }

    /// The account has come to rest with this password.
    func rests(_ account: Int, password: Int) { state.withLock { $0.passwords[account] = password } }

    var holdings: [Holding] { state.withLock { $0.holdings } }
    var ended: [Holding] { state.withLock { $0.ended } }
    var revoked: [RevokedToken] { state.withLock { $0.revoked } }
    var stolen: Set<UniqueID> { state.withLock { $0.stolen } }
    var passwords: [Int: Int] { state.withLock { $0.passwords } }
}
