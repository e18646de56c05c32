import Dispatch
import LibCrypto
package import Logging
package import Postgres
import Synchronization

/// The master keys as this process holds them: what it has read, and what the installation's records say of each version.
/// A running node looks at its folder every second, so that a new version is brought to it by copying a file; it reads the
/// records again at the tick after they were changed.
package final class MasterKeyRing: Sendable {
    private struct State {
        var keys: MasterKeys
        var records: [MasterKeyRecord] = []
        /// The key ring's version when the records were read.
        var readAt: Int64 = -1
        /// Which history they are of: the lost one's are not the newer ones for their version.
        var history = 0
        var look: MasterKeyFolder.Look?
        var vigil = Vigil()
    }

    let source: MasterKeySource
    let database: Database
    private let pulse: Database
    private let clock: NodeClock
    private let logger: Logger
    private let state: Mutex<State>
    /// For the folder alone: a share that hangs must not hold up a thread that answers.
    private let queue = DispatchQueue(label: "latchkey.master-keys")

    package init(
        _ keys: MasterKeys, from source: MasterKeySource, _ database: Database, pulse: Database, clock: NodeClock,
        logger: Logger
    ) {
        self.source = source
        self.database = database
        self.pulse = pulse
        self.clock = clock
        self.logger = logger
        state = Mutex(State(keys: keys))
    }

    /// The newest value. Taken once for what must fit together.
    package var keys: MasterKeys { state.withLock { $0.keys } }

    package var records: [MasterKeyRecord] { state.withLock { $0.records } }

    /// Whether this node holds the version that the installation makes new things under. One that does not hands nothing
    /// out: what it made under an older one would outlive that version.
    package var canMint: Bool {
        state.withLock { state in
            state.records.minting.map { state.keys.versions.contains($0.version) } ?? true
        }
    }

    // MARK: the records

    /// Called after every reading of the node's tick.
    package func follow(_ reading: RevocationList.Reading) async {
        let isOther = state.withLock { $0.history < reading.number }
        guard isOther || state.withLock({ $0.readAt < reading.keyRingVersion }) else { return }
        do {
            if isOther { state.withLock { $0.readAt = -1 } }
            let known = try await readRecords(on: pulse).map(\.version)
            // One that was made in the lost history is new to this one.
            if isOther { try await notice(keys, keys.versions.filter { !known.contains($0) }, .use) }
            state.withLock { $0.history = max($0.history, reading.number) }
        } catch {
            logger.error("the records of the master keys could not be read", metadata: ["error": "\(error)"])
        }
    }

    @discardableResult
    func readRecords(on database: Database) async throws(PostgresError) -> [MasterKeyRecord] {
        let result = try await database.query(MasterKeySQL.all)
        guard let first = result.first else { throw .unexpectedRowCount(0) }
        let version: Int64 = try first.decode("ring")
        var records: [MasterKeyRecord] = []
        for row in result.rows { if let record = try MasterKeyRecord(row) { records.append(record) } }
        state.withLock { state in
            // Two readings may run at once: the older one changes nothing.
            guard state.readAt <= version else { return }
            (state.readAt, state.records) = (version, records)
            state.keys = state.keys.standing(by: records)
        }
        return records
    }

    /// For a command that is no node: goes by what the installation's records say.
    /// - Throws: `MasterKeyRefusal` where this process holds other keys than the installation's, or lacks the newest.
    package func adopt() async throws {
        let records = try await readRecords(on: database)
        try requireKnown(records)
        if let minting = records.minting, !keys.versions.contains(minting.version) {
            throw MasterKeyRefusal.missing(minting.version, in: source.place)
        }
    }

    /// - Throws: `MasterKeyRefusal.another`.
    func requireKnown(_ records: [MasterKeyRecord]) throws {
        let keys = keys
        for record in records where record.retiredAt == nil {
            if let own = keys.checkValue(version: record.version), own != record.checkValue {
                throw MasterKeyRefusal.another(record.version, in: source.place)
            }
        }
    }

    /// Tells the installation of versions, as their first holder or not.
    ///
    /// - Parameter event: written with them.
    /// - Throws: `MasterKeyRefusal.another` where the installation knows another key by that version.
    func notice(
        _ keys: MasterKeys, _ versions: [Int16], _ purpose: MasterKeyRecord.Purpose, event: Query? = nil
    ) async throws {
        var statements: [Query] = event.map { [$0] } ?? []
        for version in versions {
            guard let value = keys.checkValue(version: version) else { continue }
            statements.append(MasterKeySQL.notice(version, checkValue: value, purpose))
        }
        if !statements.isEmpty { try await database.batch(statements) }
        for record in try await readRecords(on: database) where versions.contains(record.version) {
            if keys.checkValue(version: record.version) != record.checkValue {
                throw MasterKeyRefusal.another(record.version, in: source.place)
            }
        }
    }

    /// Whose ticks count for this process now, when it is asked whether every node holds a version.
    package var presence: NodePresence { state.withLock { $0.vigil.presence(at: .now()) } }

    /// Lets the highest version that is held mint, where it does not and every node that counts holds it. Not while a step of
    /// the database's clock settles: one forward makes all other nodes look silent, and theirs would be the older version.
    /// - Returns: the version that mints from now on; nil where nothing changed.
    package func promote(origin: Origin) async throws -> Int16? {
        guard clock.step == nil else { return nil }
        let (versions, records) = state.withLock { ($0.keys.versions, $0.records) }
        let newest = records.minting?.version ?? 0
        for version in versions.reversed() where version > newest {
            guard records.contains(where: { $0.version == version && $0.isLive }) else { continue }
            // Asked without a lock first: it may be asked for days, every second.
            let (presence, asked) = (presence, BootInstant.now())
            let lacking = try await database.query(MasterKeySQL.nodesLacking(version, presence)).count
            state.withLock { $0.vigil.look(at: asked) }
            guard lacking == 0 else { continue }
            let isMinting = try await database.transaction { transaction -> Bool in
                // The lock may be waited for: the clock is held against this machine's from there on.
                try await transaction.query(SigningKeySQL.lockRing)
                let begun = BootInstant.now()
                let ring = try RingReading(try await transaction.batch(RingReading.statements), begun: begun)
                guard clock.agrees(with: ring.sample) else { return false }
                guard try await transaction.query(MasterKeySQL.mint(version, presence)).affected == 1 else {
                    return false
                }
                try await transaction.commit([
                    Event.masterKeyMints(version: version).row(origin), SigningKeySQL.raiseVersion,
                ])
                return true
            }
            try await readRecords(on: database)
            if isMinting { return version }
        }
        return nil
    }

    /// Nobody takes any more what was made under the version; every node forgets it at its next tick.
    ///
    /// - Throws: `MasterKeyConflict` where a signing key has been sealed under it meanwhile.
    package func retire(_ record: MasterKeyRecord, inSpiteOf uses: String?, origin: Origin) async throws {
        let version = record.version
        try await database.transaction { transaction in
            // Whoever seals a signing key holds the ring's lock.
            let results = try await transaction.batch([SigningKeySQL.lockRing, MasterKeySQL.sealed(under: version)])
            guard try results[1].one().decode("count", as: Int64.self) == 0 else {
                throw MasterKeyConflict("A signing key has just been sealed under master key \(version).")
            }
            let retired = try await transaction.query(MasterKeySQL.retire(version, mintingFrom: record.mintingFrom))
            guard retired.affected == 1 else {
                throw MasterKeyConflict("Master key \(version) has just come into use, or was retired: look again.")
            }
            try await transaction.commit([
                Event.masterKeyRetired(version: version, forced: uses).row(origin),
                SigningKeySQL.raiseVersion,
            ])
        }
        try await readRecords(on: database)
    }

    /// The records as they stand now.
    package func readAgain() async throws(PostgresError) -> [MasterKeyRecord] {
        try await readRecords(on: database)
    }

    /// Holds what this process itself has made.
    func hold(_ keys: MasterKeys) {
        state.withLock { $0.keys = keys.standing(by: $0.records) }
    }

    /// A broken seal that does not stop the start.
    func tell(_ kid: String, _ fault: SealFault) {
        logger.error("a signing key does not open", metadata: ["kid": "\(kid)", "why": "\(fault)"])
    }

    // MARK: the folder

    /// Looks at the folder, and where it has changed takes in the versions that are new. What is held stays held while the
    /// process runs and the installation has not retired it, whatever becomes of its file.
    package func lookAgain() async throws {
        guard case .folder(let path) = source else { return }
        let folder = MasterKeyFolder(path)
        let (last, keys, records) = state.withLock { ($0.look, $0.keys, $0.records) }
        let look = try await away { try folder.look() }
        guard look != last else { return }
        let retired = Set(records.filter { $0.retiredAt != nil }.map(\.version))
        var refusals: [any Error] = []
        for version in look.versions where !keys.versions.contains(version) && !retired.contains(version) {
            do {
                let key = try await away { try folder.read(version) }
                let more = try keys.adding([version: key])
                try await notice(more, [version], .use)
                try state.withLock { state in
                    state.keys = try state.keys.adding([version: key]).standing(by: state.records)
                }
                logger.notice("a master key has come", metadata: ["version": "\(version)"])
            } catch let error as PostgresError {
                // Nothing wrong with the file: looked at again in a second.
                throw error
            } catch {
                refusals.append(error)
            }
        }
        state.withLock { $0.look = look }
        for error in refusals {
            logger.error("a master key is not taken", metadata: ["error": "\(error)"])
        }
        for version in keys.versions where !look.versions.contains(version) && !keys.isVoid(version) {
            logger.error(
                "a master key has gone from its folder and is still needed: put it back, or no node will start",
                metadata: ["version": "\(version)"])
        }
    }

    private func away<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }
}

/// Why a process does not go on with the master keys that it holds. Each says what to do.
package enum MasterKeyRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(Int16, in: String)
    /// Another key than the one that the installation knows by that version.
    case another(Int16, in: String)
    /// A signing key that is needed does not open.
    case sealed(kid: String, SealFault)
    /// It is sealed under a master key that has been retired: no file brings it back.
    case lost(kid: String, version: Int16)

    package var description: String {
        switch self {
        case .missing(let version, let place):
            "master key \(version), which this installation needs, is not in \(place): bring its file there from another "
                + "node or from your backup (LATCHKEY_KEYS_DIR)"
        case .another(let version, let place):
            "master key \(version) in \(place) is another one than this installation's: put the right one there, from "
                + "another node or from your backup (LATCHKEY_KEYS_DIR)"
        case .sealed(let kid, let fault): "signing key \(kid) does not open: \(fault)"
        case .lost(let kid, let version):
            "signing key \(kid), which signs, is sealed under master key \(version), which has been retired: no file of it "
                + "is taken any more; let another one sign by `latchkey keys compromise --reason 'lost' --yes -- \(kid)`"
        }
    }
}
