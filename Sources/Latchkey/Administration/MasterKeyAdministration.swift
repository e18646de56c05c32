package import JOSE
package import Postgres

/// The master keys as an operator sees them: what names each version, and when one may go.
package struct MasterKeyAdministration: Sendable {
    private let masterKeys: MasterKeyRing
    private let keys: SigningKeys
    private let clients: Clients
    private let users: Users
    private let sessions: Sessions

    package init(
        _ masterKeys: MasterKeyRing, keys: SigningKeys, clients: Clients, users: Users, sessions: Sessions
    ) {
        self.masterKeys = masterKeys
        self.keys = keys
        self.clients = clients
        self.users = users
        self.sessions = sessions
    }

    /// For so long after another version began to mint a node that had not heard of it may still have made something
    /// under the old one, in seconds: one that has not ticked for 2 s mints nothing, and no request takes longer than 2 s.
    static let settling: Int64 = 60

    /// What still names a version.
    package struct Uses: Sendable, Equatable {
        package var signingKeys: Int64 = 0
        package var clientSecrets: Int64 = 0
        package var passwords: Int64 = 0
        /// Sessions that may have a refresh token of it, and when the last of them ends.
        package var sessions: Int64 = 0
        package var sessionsUntil: Instant?

        /// What cannot be spared: it would be lost, and not come back with the next login.
        var keeping: [String] {
            [(signingKeys, "signing key"), (passwords, "password hash")].compactMap(Self.text)
        }

        /// What ends or moves by itself in time.
        var passing: [String] {
            let until = sessionsUntil.map { ", the last until \(RFC3339.text(microseconds: $0.microseconds))" } ?? ""
            return [(sessions, "session"), (clientSecrets, "client secret")].compactMap(Self.text).map { text in
                text.hasSuffix("session") || text.hasSuffix("sessions") ? text + until : text
            }
        }

        private static func text(_ count: Int64, _ noun: String) -> String? {
            switch count {
            case 0: nil
            case 1: "1 \(noun)"
            default: "\(count) \(noun)\(noun.hasSuffix("sh") ? "es" : "s")"
            }
        }
    }

    package func uses(of record: MasterKeyRecord, in records: [MasterKeyRecord]) async throws -> Uses {
        let version = record.version
        var uses = Uses(
            signingKeys: try await keys.count(sealedUnder: version),
            clientSecrets: try await clients.count(hashedUnder: version),
            passwords: try await users.count(pepperedUnder: version))
        // One that leaked hands out nothing and is taken from nobody.
        if records.mayHaveMinted(record), record.compromisedAt == nil {
            let superseded = records.superseded(version).map { $0 + Self.settling }
            (uses.sessions, uses.sessionsUntil) = try await sessions.living(bornBefore: superseded)
        }
        return uses
    }

    /// Every version, in order.
    package func list() async throws -> [JSONValue] {
        let records = try await masterKeys.readAgain()
        let held = masterKeys.keys.versions
        var rows: [JSONValue] = []
        for record in records {
            let uses = try await uses(of: record, in: records)
            let isGone = record.retiredAt != nil
            let lacking = isGone ? [] : try await masterKeys.nodesLacking(record.version)
            func time(_ instant: Instant?) -> JSONValue? {
                instant.map { .string(RFC3339.text(microseconds: $0.microseconds)) }
            }
            rows.append(
                .object(
                    JSONObject([
                        ("version", .integer(Int64(record.version))),
                        ("state", .string(state(of: record, in: records))),
                        ("current", .bool(record.version == records.minting?.version)),
                        ("held", .bool(held.contains(record.version))),
                        ("signing_keys", .integer(uses.signingKeys)), ("sessions", .integer(uses.sessions)),
                        ("sessions_until", time(uses.sessionsUntil)),
                        ("client_secrets", .integer(uses.clientSecrets)), ("passwords", .integer(uses.passwords)),
                        ("minting_from", time(record.mintingFrom)), ("compromised_at", time(record.compromisedAt)),
                        ("retired_at", time(record.retiredAt)),
                        ("lacking", .array(lacking.map { .string($0.text) })),
                    ])))
        }
        return rows
    }

    /// `waiting` for nodes, `current`, `superseded`, `compromised`, `retired`.
    private func state(of record: MasterKeyRecord, in records: [MasterKeyRecord]) -> String {
        if record.retiredAt != nil { return "retired" }
        if record.compromisedAt != nil { return "compromised" }
        if !records.mayHaveMinted(record) { return "waiting" }
        return record.version == records.minting?.version ? "current" : "superseded"
    }

    package enum Force: Sendable { case no, yes }

    /// Makes every node forget a version, so that its file may be deleted. What is still made under it, by nobody; what
    /// was: refresh tokens are refused as invalid, devices are unknown, guesses are counted in new buckets.
    ///
    /// - Throws: `Rejection.notFound`; `MasterKeyConflict` where something names the version. With `force` sessions and client
    ///   secrets do not matter, signing keys and passwords still do.
    package func retire(_ version: Int16, _ force: Force, origin: Origin) async throws {
        let records = try await masterKeys.readAgain()
        guard let record = records.first(where: { $0.version == version && $0.retiredAt == nil }) else {
            throw Rejection.notFound(what: "master key of that version")
        }
        if record.version == records.minting?.version {
            throw MasterKeyConflict("Master key \(version) is the one that new things are made under: rotate it first.")
        }
        // Both by the database's own clock, which a steady one that is ahead would have outrun.
        let now = try await keys.read().rawNow
        if let superseded = records.superseded(version), superseded + Self.settling > now {
            throw MasterKeyConflict("Master key \(version) was in use until a moment ago: ask again in a minute.")
        }
        let uses = try await uses(of: record, in: records)
        if !uses.keeping.isEmpty {
            throw MasterKeyConflict(
                "Master key \(version) is still named by \(Self.list(uses.keeping)). Signing keys are sealed again by any "
                    + "node or by `latchkey master-key reseal`; password hashes move at their owners' next login.")
        }
        if !uses.passing.isEmpty, force == .no {
            throw MasterKeyConflict(
                "Master key \(version) is still named by \(Self.list(uses.passing)). Sessions end by themselves, secrets "
                    + "move when their client next shows them; with --force the ones must log in again and the others be rotated."
            )
        }
        try await masterKeys.retire(
            record, inSpiteOf: uses.passing.isEmpty ? nil : Self.list(uses.passing), origin: origin)
    }

    private static func list(_ words: [String]) -> String { words.joined(separator: " and ") }
}
