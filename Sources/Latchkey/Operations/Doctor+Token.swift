import LibCrypto
import PKCS11

extension Doctor {
    /// Lets a key in the PKCS #11 token sign once.
    func inToken(_ signer: SigningKey) async throws -> Finding {
        guard let token = settings.token else {
            return Finding(
                .signingKey, .fail, "\(signer.kid) is in a PKCS #11 token, and none is set here",
                advice: "set LATCHKEY_PKCS11_MODULE and its fellows as on the nodes")
        }
        let key = token.key(of: signer)
        let isWhole = try? await onOwnThread(within: SecurityToken.longest) { key.isWhole }
        guard isWhole == true else {
            let why = token.failure(of: signer.kid)?.description ?? "its signature does not verify"
            return Finding(
                .signingKey, .fail, "\(signer.kid) does not sign: \(why)",
                advice: "mend the token, or the way to it; nodes come back by themselves")
        }
        return Finding(.signingKey, .ok, "\(signer.kid) (\(signer.algorithm.rawValue)) signs, in its token")
    }
}
