import JOSE
import LibCrypto
import PKCS11
import Postgres

/// What a PKCS #11 token asks for beside the table: it shares no transaction with it.
extension SigningKeys {
    /// Whether the private half is there: one that is about to sign must, or every node would stop signing at once.
    ///
    /// - Parameter keys: those that stand beside it, to tell by why it does not open.
    func prove(_ key: SigningKey, among keys: [SigningKey]) async throws {
        let opened = try key.open(with: masterKeys.keys, token, among: keys)
        guard key.holder == .token else { return }
        guard try await onOwnThread(within: SecurityToken.longest, { opened.isWhole }) else {
            throw SigningKeyError.doesNotSign(kid: key.kid)
        }
    }

    /// Whether a node that has no token may leave new keys to those that have one.
    enum Company: Sendable {
        case others
        /// After a loss there may be nobody else, and nothing works before the keys are made.
        case nobody
    }

    /// Where the private halves of new keys are kept. A command goes by the nodes, and a node without a token by the one that
    /// started last: while an installation moves into a token, those left behind make no key outside of it.
    func holder(for ring: RingReading, beside company: Company = .others) -> KeyHolder {
        let isLeftBehind = role == .node && company == .others && isLeftBehind(ring)
        if role == .command || isLeftBehind, let keeping = ring.keeping,
            let holder = KeyHolder(rawValue: keeping.holder)
        {
            return holder
        }
        return token == nil ? .database : .token
    }

    /// Only while something was made in a token, and somebody signs: else it may be gone for good.
    private func isLeftBehind(_ ring: RingReading) -> Bool {
        token == nil && ring.keys.contains { $0.isStandby && $0.holder == .token }
            && !KeySchedule.nobodySigns(ring.keys, at: ring.clock.now)
    }

    /// The token in which new keys are made; nil: they are sealed in the database.
    ///
    /// - Throws: `SigningKeyError.tokenUnset` where it is a token that this process knows nothing of; `.tokenSilent`.
    func maker(for ring: RingReading, beside company: Company = .others) throws(SigningKeyError) -> SecurityToken? {
        guard holder(for: ring, beside: company) == .token else { return nil }
        guard let token else { throw .tokenUnset }
        // Making a key may take it a minute: a hanging one would take that from whoever waits.
        guard token.failure != .doesNotAnswer, !token.isStuck else { throw .tokenSilent }
        return token
    }

    /// Whether it can be told here if the private half is there: a command's shell may know nothing of the nodes' token.
    func canTell(_ key: SigningKey) -> Bool { role == .node || key.holder == .database || token != nil }

    /// The standbys whose private half is not there or does not open, of those that may sign next.
    func unfitStandbys(of keys: [SigningKey]) async -> [String] {
        let standbys = keys.filter { $0.isStandby && $0.publishedAt != nil }
        let unfit = await unfit(of: standbys, among: keys)
        // A token that comes back in between shows its keys to the later ones alone.
        guard !unfit.isEmpty, unfit.count < standbys.count else { return unfit.map(\.kid) }
        return await self.unfit(of: unfit, among: keys).map(\.kid)
    }

    private func unfit(of standbys: [SigningKey], among keys: [SigningKey]) async -> [SigningKey] {
        var unfit: [SigningKey] = []
        for key in standbys where canTell(key) {
            do { try await prove(key, among: keys) } catch { unfit.append(key) }
        }
        return unfit
    }

    /// Runs `body`; what was made for it in the token and did not get into the table, since another node was first, is
    /// destroyed there: a token has little room. What a process that ends in between leaves there signs nothing.
    func tidying<R>(_ made: [NewSigningKey], _ body: () async throws -> R) async throws -> R {
        let inToken = made.filter { $0.holder == .token }
        guard let token, !inToken.isEmpty else { return try await body() }
        let result: Result<R, any Error>
        do {
            result = .success(try await body())
        } catch PostgresError.unknownOutcome {
            // They may be in the table.
            throw PostgresError.unknownOutcome
        } catch {
            result = .failure(error)
        }
        // What was committed stays so, whatever becomes of this look.
        guard let known = try? await read().keys.map(\.kid) else { return try result.get() }
        for key in inToken where !known.contains(where: { $0.isSameText(as: key.kid) }) {
            try? await onOwnThread(within: SecurityToken.longest) { try token.destroy(kid: key.kid) }
        }
        return try result.get()
    }

    /// Destroys in the token what has been wiped in the table, by `steps` just now or when the token did not answer. In
    /// this order: a key that is destroyed first and then found to be needed would be missed. Another process's token is
    /// left to it: the row remembers.
    ///
    /// - Throws: `SigningKeyError.notDestroyed`, of one of them; the next round tries again.
    func destroyLeft(_ keys: [SigningKey], after steps: [KeySchedule.Step] = []) async throws {
        guard let token else { return }
        let wiped = Set(steps.compactMap { if case .wipe(let kid) = $0 { kid } else { nil } })
        var failure: SigningKeyError?
        for key in keys where key.isLeftInToken || (key.holder == .token && wiped.contains(key.kid)) {
            do {
                // One that hangs would keep a thread for each round.
                guard token.failure != .doesNotAnswer, !token.isStuck else { throw SigningKeyError.tokenSilent }
                try await onOwnThread(within: SecurityToken.longest) { try token.destroy(kid: key.kid) }
            } catch {
                failure = .notDestroyed(kid: key.kid)
                continue
            }
            try await forgetLeft(key.kid)
        }
        if let failure { throw failure }
    }
}
