package import JOSE
import LibCrypto
package import Postgres

extension MasterKeyRing {
    /// Makes the next version and writes its file. New things are made under it once every ticking node holds it.
    ///
    /// The installation knows of the key before its file stands: a node that finds the file at once must not take it for
    /// something else than it is, and of two who make the same version at once one is told so and writes nothing.
    ///
    /// - Parameter folder: where its file goes.
    /// - Throws: `MasterKeyConflict` while another version waits for its nodes; `MasterKeyRefusal`,
    ///   `MasterKeyFolderError`.
    package func makeNext(
        _ purpose: MasterKeyRecord.Purpose, in folder: MasterKeyFolder, origin: Origin
    ) async throws -> Int16 {
        let records = try await readRecords(on: database)
        if let waiting = records.waiting, purpose == .use {
            throw MasterKeyConflict(
                "Master key \(waiting.version) still waits for nodes: bring it to every one, or retire it where its file is "
                    + "lost (`latchkey master-key list` names the nodes).")
        }
        folder.makeFolder()
        let highest = max(records.last?.version ?? 0, keys.versions.last ?? 0, try folder.versions().last ?? 0)
        guard highest < Int16.max else { throw MasterKeyError.unknownVersion(highest) }
        let version = highest + 1
        let bytes = SecureRandom.bytes(MasterKeys.length)
        let more = try keys.adding([version: SecretBytes(bytes)])
        try await notice(
            more, [version], purpose,
            event: Event.masterKeyMade(version: version, purpose: purpose.rawValue).row(origin))
        do {
            try folder.write(bytes, version: version)
        } catch {
            // Nobody will ever hold it.
            try await database.query(MasterKeySQL.retire(version, mintingFrom: nil))
            throw error
        }
        hold(more)
        return version
    }

    /// The nodes that lack the version.
    /// - Parameter presence: `.known` for those that this process waits for; else those that tick.
    package func nodesLacking(
        _ version: Int16, _ presence: NodePresence = .ticking
    ) async throws(PostgresError) -> [UniqueID] {
        var nodes: [UniqueID] = []
        for row in try await database.query(MasterKeySQL.nodesLacking(version, presence)).rows {
            nodes.append(try row.decode("node"))
        }
        return nodes
    }

    /// How many nodes have ever told that they hold the version.
    package func nodesHolding(_ version: Int16) async throws(PostgresError) -> Int64 {
        try await database.query(MasterKeySQL.nodesHolding(version)).one().decode("count")
    }

    /// Declares every version below compromised: what was handed out under them is void.
    package func compromise(below version: Int16, reason: String, origin: Origin) async throws {
        try await database.transaction { transaction in
            _ = try await transaction.batch([SigningKeySQL.lockRing, MasterKeySQL.compromise(below: version)])
            try await transaction.commit([
                Event.masterKeysCompromised(by: version, reason: reason).row(origin), SigningKeySQL.raiseVersion,
            ])
        }
        try await readRecords(on: database)
    }

    /// By `kid`, the one that signs last.
    package func leakedSigningKeys() async throws(PostgresError) -> [String] {
        var kids: [String] = []
        for row in try await database.query(MasterKeySQL.leaked).rows { kids.append(try row.decode("kid")) }
        return kids
    }
}

extension [MasterKeyRecord] {
    /// The newest version, where it does not mint yet.
    package var waiting: MasterKeyRecord? {
        self.last { $0.isLive && $0.mintingFrom == nil && $0.version > (minting?.version ?? 0) }
    }
}

/// What cannot be done to a master key now, and why. Commands alone do such things: it has no face in HTTP.
package struct MasterKeyConflict: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ text: String) {
        description = text
    }
}
