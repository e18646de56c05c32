package import JOSE
import Postgres

/// The day a master key leaks: whoever has it and a copy of the database has every private signing key and can forge
/// refresh tokens. A new version is made and, once every node holds it, used; those before it are compromised, which voids
/// what was handed out under them; every signing key that was ever sealed under one of them is compromised in its turn;
/// every session ends; what stands sealed under them is sealed again.
///
/// One step at a time, each found by looking at the rows: it may end anywhere and be begun again.
package struct MasterKeyLeak: Sendable {
    private let masterKeys: MasterKeyRing
    private let resealing: Resealing
    private let keys: SigningKeys
    private let compromises: KeyCompromises
    private let sessions: Sessions

    package init(
        _ masterKeys: MasterKeyRing, resealing: Resealing, keys: SigningKeys, compromises: KeyCompromises,
        sessions: Sessions
    ) {
        self.masterKeys = masterKeys
        self.resealing = resealing
        self.keys = keys
        self.compromises = compromises
        self.sessions = sessions
    }

    package enum Step: Sendable, Equatable {
        /// Nodes lack the new version: nothing can be made under it yet.
        case waits(for: [UniqueID])
        case inUse(version: Int16)
        case compromised(below: Int16)
        case replaced(kid: String)
        /// No key could be made to follow it.
        case leftNobody(kid: String)
        case sessionsEnded(Int64)
        case resealed(kid: String)
        case done
    }

    /// The version that an earlier run made and did not bring to its end; nil where there was none.
    ///
    /// One that nobody holds is retired: that run ended before it had written the file, and no node could ever be brought it.
    ///
    /// - Parameter folder: where that run would have written its file.
    /// - Throws: `MasterKeyConflict` where others hold it and this process does not.
    package func unfinished(in folder: MasterKeyFolder, origin: Origin) async throws -> Int16? {
        let records = try await masterKeys.readAgain()
        guard let newest = records.last(where: \.isLive), newest.purpose == .leak else { return nil }
        let version = newest.version
        guard newest.mintingFrom == nil else {
            return try await find(version, in: records) == nil ? nil : version
        }
        if masterKeys.keys.versions.contains(version) { return version }
        folder.makeFolder()
        guard try await masterKeys.nodesHolding(version) == 0, try !folder.versions().contains(version) else {
            throw MasterKeyConflict(
                "Master key \(version), which an earlier run made, is not held here: bring its file to \(masterKeys.source.place)"
                    + " too, or `latchkey master-key retire \(version)` and begin anew.")
        }
        try await masterKeys.retire(newest, inSpiteOf: nil, origin: origin)
        return nil
    }

    /// Makes the version that takes the place of all others.
    package func begin(in folder: MasterKeyFolder, origin: Origin) async throws -> Int16 {
        try await masterKeys.makeNext(.leak, in: folder, origin: origin)
    }

    /// Does what is next, up to `done`.
    package func next(_ version: Int16, reason: String, origin: Origin) async throws -> Step {
        let records = try await masterKeys.readAgain()
        guard records.minting?.version ?? 0 >= version else {
            if try await masterKeys.promote(origin: origin) == version { return .inUse(version: version) }
            return .waits(for: try await masterKeys.nodesLacking(version, masterKeys.presence))
        }
        switch try await find(version, in: records) {
        case .versions:
            try await masterKeys.compromise(below: version, reason: reason, origin: origin)
            return .compromised(below: version)
        case .signingKey(let kid):
            let outcome = try await compromises.compromise(
                kid, reason: "master key leaked: \(reason)", origin: origin)
            return outcome.leavesNobody ? .leftNobody(kid: kid) : .replaced(kid: kid)
        case .sessions(let count):
            _ = try await sessions.revokeAll(reason: "master key leaked: \(reason)", origin: origin)
            return .sessionsEnded(count)
        case .seal:
            let step = try await resealing.one(of: try await keys.all().keys, origin: origin)
            if case .resealed(let kid, _, _) = step { return .resealed(kid: kid) }
            if case .done = step { return .done }
            return try await next(version, reason: reason, origin: origin)
        case nil: return .done
        }
    }

    private enum Left {
        case versions
        case signingKey(String)
        case sessions(Int64)
        case seal
    }

    /// What is left to do once the version mints.
    private func find(_ version: Int16, in records: [MasterKeyRecord]) async throws -> Left? {
        let older = records.filter { $0.version < version }
        if older.contains(where: { $0.compromisedAt == nil }) { return .versions }
        if let kid = try await masterKeys.leakedSigningKeys().first { return .signingKey(kid) }
        // Those born since have nothing of the old version.
        if let instant = older.compactMap(\.compromisedAt).max() {
            let count = try await sessions.living(bornBefore: instant).count
            if count > 0 { return .sessions(count) }
        }
        let (keys, _) = try await keys.all()
        // One that does not open cannot be sealed again, and is compromised already.
        let open = keys.filter { (try? $0.unseal(with: masterKeys.keys)) != nil }
        return resealing.isNeeded(open) ? .seal : nil
    }

    /// What `next` will come to, in words.
    package func foresee() async throws -> JSONValue {
        let records = try await masterKeys.readAgain()
        let versions = records.filter { $0.compromisedAt == nil }.map(\.version)
        let (keys, now) = try await keys.all()
        let verifying = keys.filter { $0.isInJWKS(at: now) }
        // As `leakedSigningKeys`: those that have left the JWKS too.
        let sealed = keys.count { $0.sealed != nil && $0.compromisedAt == nil }
        let held = verifying.count { $0.holder == .token }
        let living = try await sessions.living(bornBefore: nil).count
        var effects = [
            """
            A new version of the master key is made and written to its file, and waits until you have brought it to every \
            node that ticks; stop the nodes that you cannot reach.
            """,
            """
            Versions \(versions.map { "\($0)" }.joined(separator: ", ")) are declared compromised: refresh tokens and \
            device tokens made under them are void from then on.
            """,
            """
            \(sealed) signing keys are compromised, each put on the revocation list for good; new ones sign at once, \
            which no verifier knows: one that does not fetch the JWKS at an unknown kid refuses new tokens until its copy \
            has expired.
            """,
            "\(living) sessions end: everybody logs in again. What clients got for themselves ends too.",
            """
            Client secrets stay good (they are random, and only their hashes stand in the database), and so do passwords; \
            both move to the new version when they are next shown.
            """,
        ]
        if held > 0 {
            effects.insert(
                "\(held) signing keys stay: a PKCS #11 token holds them, and no master key opens them.", at: 3)
        }
        return [
            "versions": .array(versions.map { .integer(Int64($0)) }), "signing_keys": .integer(Int64(sealed)),
            "sessions": .integer(living), "effects": .array(effects.map { .string($0) }),
        ]
    }
}
