import CPKCS11
import LibCrypto
import Synchronization

/// The sessions of one token, found by its label, and the login that they share.
///
/// Owns who may use a session at a time, the login, and what is forgotten once the token has lost them. Does not try again:
/// that is `SecurityToken`'s. Every call blocks until the token answers.
final class TokenSessions: Sendable {
    private struct State {
        var login = 0
        /// The beginning of the module that all of this belongs to.
        var generation = 0
        var slot: CK_SLOT_ID?
        var isLoggedIn = false
        var idle: [TokenSession] = []
        /// A PIN that was refused.
        var refusal: SecurityTokenError?
    }

    private let label: String
    private let pin: SecretBytes
    // Held over the login's round trip: of the threads that find the token gone, one logs in.
    private let state = Mutex(State())

    /// - Parameter label: the token's `CKA_LABEL`, at most 32 bytes.
    init(label: String, pin: SecretBytes) {
        self.label = label
        self.pin = pin
    }

    /// Calls `body` with a session that is logged in, and keeps it where it is still good.
    func lend<R>(
        _ use: TokenSession.Use, _ module: TokenModule,
        _ body: (inout TokenSession) throws(SecurityTokenError) -> R
    ) throws(SecurityTokenError) -> R {
        try module.sharing { () throws(SecurityTokenError) in
            var session = try take(use, module)
            do throws(SecurityTokenError) {
                let result = try body(&session)
                giveBack(session)
                return result
            } catch {
                if error == .noKey {
                    giveBack(session)
                } else {
                    // An operation may have been left half done in it; with its last session a token forgets the login, and
                    // shows no private key from then on.
                    session.close()
                    let login = session.login
                    state.withLock { if $0.login == login { $0.isLoggedIn = false } }
                    if error.isLoss { forget(login: login) }
                }
                throw error
            }
        }
    }

    private func take(
        _ use: TokenSession.Use, _ module: TokenModule
    ) throws(SecurityTokenError) -> TokenSession {
        try state.withLock { state throws(SecurityTokenError) in
            if state.generation != module.generation {
                state = State(login: state.login + 1, generation: module.generation, refusal: state.refusal)
            }
            if let index = state.idle.lastIndex(where: { $0.use == use }) { return state.idle.remove(at: index) }
            do throws(SecurityTokenError) {
                return try open(use, module, &state)
            } catch {
                // The token may come back in another slot; a login that still holds is no error.
                if error.isLoss { (state.slot, state.isLoggedIn) = (nil, false) }
                throw error
            }
        }
    }

    private func open(
        _ use: TokenSession.Use, _ module: TokenModule, _ state: inout State
    ) throws(SecurityTokenError) -> TokenSession {
        if let refusal = state.refusal { throw refusal }
        let functions = module.functions
        let slot: CK_SLOT_ID
        if let known = state.slot {
            slot = known
        } else {
            try TokenSession.check(lk_module_initialize(functions))
            slot = try findSlot(functions)
            state.slot = slot
        }
        var handle: CK_SESSION_HANDLE = 0
        try TokenSession.check(
            lk_open_session(functions, slot, use == .signing ? LK_SIGNING : LK_CHANGING, &handle))
        let session = TokenSession(handle, use, login: state.login, module: module)
        guard !state.isLoggedIn else { return session }
        let code = pin.withBytes { lk_log_in(functions, handle, $0.baseAddress, $0.count) }
        guard code == CKR_OK else {
            session.close()
            guard Self.pinRefusals.contains(code) else { throw .failed(code: code) }
            state.refusal = .pinRefused(code: code)
            throw .pinRefused(code: code)
        }
        state.isLoggedIn = true
        return session
    }

    private static let pinRefusals: Set<CK_RV> = [
        CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED,
        CKR_USER_PIN_NOT_INITIALIZED,
    ]

    private func findSlot(_ functions: lk_module) throws(SecurityTokenError) -> CK_SLOT_ID {
        var padded = Array(label.utf8.prefix(32))
        padded += [UInt8](repeating: 0x20, count: 32 - padded.count)
        var slot: CK_SLOT_ID = 0
        var matches = 0
        try TokenSession.check(lk_find_slot(functions, padded, &slot, &matches))
        guard matches > 0 else { throw .noToken(label: label) }
        guard matches == 1 else { throw .severalTokens(label: label) }
        return slot
    }

    private func giveBack(_ session: TokenSession) {
        let isCurrent = state.withLock { state in
            guard session.login == state.login else { return false }
            state.idle.append(session)
            return true
        }
        if !isCurrent { session.close() }
    }

    /// What belongs to this login is gone; whoever comes next logs in again. Others that find the same do nothing.
    private func forget(login: Int) {
        let idle = state.withLock { state -> [TokenSession] in
            guard state.login == login else { return [] }
            defer { state = State(login: login + 1, generation: state.generation, refusal: state.refusal) }
            return state.idle
        }
        for session in idle { session.close() }
    }
}

extension SecurityTokenError {
    /// Whether the token lost sessions, objects or itself, so that it is worth opening all again.
    var isLoss: Bool {
        guard case .failed(let code) = self else {
            if case .noToken = self { return true }
            return false
        }
        return [
            CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR,
            CKR_TOKEN_NOT_PRESENT, CKR_SLOT_ID_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_OBJECT_HANDLE_INVALID,
            CKR_KEY_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_GENERAL_ERROR,
        ].contains(code)
    }
}
