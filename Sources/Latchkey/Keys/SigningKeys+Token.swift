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
        guard try await onOwnThread({ opened.isWhole }) else { throw SigningKeyError.doesNotSign(kid: key.kid) }
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
        let known = try await read().keys.map(\.kid)
        for key in inToken where !known.contains(where: { $0.isSameText(as: key.kid) }) {
            try? await onOwnThread { try token.destroy(kid: key.kid) }
        }
        return try result.get()
    }

    /// Destroys in the token what `steps` have wiped in the table. In this order: a key that is destroyed first and then
    /// found to be needed would be missed.
    ///
    /// - Throws: `SigningKeyError.notDestroyed`.
    func destroyWiped(_ steps: [KeySchedule.Step], of keys: [SigningKey]) async throws {
        for case .wipe(let kid) in steps {
            guard keys.contains(where: { $0.kid.isSameText(as: kid) && $0.holder == .token }) else { continue }
            guard let token, (try? await onOwnThread { try token.destroy(kid: kid) }) != nil else {
                throw SigningKeyError.notDestroyed(kid: kid)
            }
        }
    }
}
