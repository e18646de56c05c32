import JOSE
import LibCrypto
package import Postgres

/// Seals the private signing keys again under the version that mints, one row at a time. It may end after any row and go
/// on at any node: every row names the version that it is sealed under.
package struct Resealing: Sendable {
    private let database: Database
    private let masterKeys: MasterKeyRing

    package init(_ database: Database, masterKeys: MasterKeyRing) {
        self.database = database
        self.masterKeys = masterKeys
    }

    package enum Step: Sendable {
        case resealed(kid: String, from: Int16, to: Int16)
        /// Another process was quicker, or the row was wiped meanwhile.
        case changedMeanwhile
        /// Nothing is left but those that do not open, by `kid`.
        case done(unopened: [String: SealFault])
    }

    /// Whether a row names an earlier version than the one that mints. (A later one is of a node that has read the records
    /// since.)
    package func isNeeded(_ keys: [SigningKey]) -> Bool {
        let current = masterKeys.keys.current
        return keys.contains { $0.sealed != nil && $0.masterKeyVersion < current }
    }

    /// Seals the first row again that needs it.
    ///
    /// - Parameter keys: as they were read. Whether one still is what it was is asked by the statement itself.
    package func one(of keys: [SigningKey], origin: Origin) async throws -> Step {
        let masterKeys = masterKeys.keys
        let version = masterKeys.current
        var unopened: [String: SealFault] = [:]
        for key in keys where key.sealed != nil && key.masterKeyVersion < version {
            let der: SecretBytes
            do {
                der = try key.unseal(with: masterKeys, among: keys)
            } catch SigningKeyError.doesNotOpen(let kid, let fault) {
                unopened[kid] = fault
                continue
            }
            let sealed = try AES256GCM.seal(
                der, key: try masterKeys.sealingKey(version: version), associatedData: key.sealPlace)
            return try await replace(key, sealed, under: version, origin: origin)
        }
        return .done(unopened: unopened)
    }

    private func replace(
        _ key: SigningKey, _ sealed: [UInt8], under version: Int16, origin: Origin
    ) async throws -> Step {
        try await database.transaction { transaction in
            // The ring first, as whoever rotates takes them. Its version is raised in the same transaction: a node that
            // still held the old seal could not open it once the old version has been retired.
            let results = try await transaction.batch([
                SigningKeySQL.lockRing, MasterKeySQL.reseal(key, sealed, under: version),
            ])
            guard results[1].affected == 1 else { return .changedMeanwhile }
            try await transaction.commit([
                Event.keyResealed(kid: key.kid, from: key.masterKeyVersion, to: version).row(origin),
                SigningKeySQL.raiseVersion,
            ])
            return .resealed(kid: key.kid, from: key.masterKeyVersion, to: version)
        }
    }
}
