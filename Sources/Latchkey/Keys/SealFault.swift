import JOSE
import LibCrypto

/// Why a sealed private half does not open. AES-GCM says no more than "not authentic"; the keys that are held and the other
/// rows tell the rest.
package enum SealFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The version that the row names is not held.
    case noMasterKey(Int16)
    /// The version is held, but nothing that names it opens with it: another installation's key.
    case wrongMasterKey(Int16)
    /// It was sealed for the row of another key.
    case movedFrom(kid: String)
    /// It was sealed under another version than the row says.
    case otherVersion(Int16, named: Int16)
    /// The master key is the right one, the bytes are not what was sealed.
    case damaged(version: Int16)

    package var description: String {
        switch self {
        case .noMasterKey(let version):
            "it is sealed under master key \(version), which is not held here: bring its file to LATCHKEY_KEYS_DIR"
        case .wrongMasterKey(let version):
            "master key \(version) opens nothing that is sealed under it: it is another installation's, put this one's "
                + "into LATCHKEY_KEYS_DIR"
        case .movedFrom(let kid):
            "what stands sealed in its row was sealed for signing key \(kid): restore the row from a backup"
        case .otherVersion(let version, let named):
            "it is sealed under master key \(version), and its row names \(named): restore the row from a backup"
        case .damaged(let version):
            "what was sealed under master key \(version) has been changed: restore its row from a backup, or rotate"
        }
    }
}

extension SealFault {
    /// Finds out why `key`'s private half did not open.
    ///
    /// - Parameter keys: those that stand beside it.
    static func diagnose(_ key: SigningKey, among keys: [SigningKey], with masterKeys: MasterKeys) -> SealFault {
        let version = key.masterKeyVersion
        guard masterKeys.versions.contains(version) else { return .noMasterKey(version) }
        for held in [version] + masterKeys.versions {
            for place in [key] + keys where key.opens(in: place, under: held, with: masterKeys) {
                if !place.kid.isSameText(as: key.kid) { return .movedFrom(kid: place.kid) }
                return .otherVersion(held, named: version)
            }
        }
        if masterKeys.isVerified(version) { return .damaged(version: version) }
        let opensElse = keys.contains { other in
            other.masterKeyVersion == version && other.opens(in: other, under: version, with: masterKeys)
        }
        return opensElse ? .damaged(version: version) : .wrongMasterKey(version)
    }
}

extension SigningKey {
    /// Whether the sealed half opens as if it stood in the row of `place`.
    fileprivate func opens(in place: SigningKey, under version: Int16, with masterKeys: MasterKeys) -> Bool {
        guard let sealed, let key = try? masterKeys.sealingKey(version: version) else { return false }
        return (try? AES256GCM.open(sealed, key: key, associatedData: place.sealPlace)) != nil
    }
}
