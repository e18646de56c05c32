import JOSE
import Synchronization

/// What a client keeps of one session. Its tabs share it.
final class TokenStore: Sendable {
    struct Tokens: Sendable {
        let access: String
        let refresh: String
        let generation: UInt32
        /// The access token's `jti`.
        let tokenID: UniqueID

        init?(_ operation: Operation, _ body: JSONObject) {
            guard operation.outcome == .ok, let minted = operation.minted else { return nil }
            access = body["access_token"]?.string ?? ""
            refresh = body["refresh_token"]?.string ?? ""
            generation = minted.generation
            tokenID = minted.tokenID
        }
    }

    private struct State {
        var tokens: Tokens
        var superseded: [Tokens] = []
        var isOver = false
    }

    let sid: UniqueID
    private let state: Mutex<State>

    init?(_ login: Operation, _ body: JSONObject) {
        guard let tokens = Tokens(login, body), let sid = login.minted?.sid else { return nil }
        self.sid = sid
        state = Mutex(State(tokens: tokens))
    }

    /// What a thief carries away.
    init(copying other: TokenStore) {
        sid = other.sid
        state = Mutex(State(tokens: other.tokens))
    }

    var tokens: Tokens { state.withLock { $0.tokens } }

    /// Whether its holder was told to log in again, or has ended the session.
    var isOver: Bool { state.withLock { $0.isOver } }

    /// What was replaced by something newer, in turn.
    var superseded: [Tokens] { state.withLock { $0.superseded } }

    func write(_ tokens: Tokens) {
        state.withLock { state in
            // Another tab may have brought the same successor already.
            if tokens.generation != state.tokens.generation { state.superseded.append(state.tokens) }
            state.tokens = tokens
        }
    }

    func end() { state.withLock { $0.isOver = true } }
}
