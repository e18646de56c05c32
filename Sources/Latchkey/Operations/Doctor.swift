import Foundation
import JOSE
import LibCrypto
package import PKCS11
package import Postgres

/// Looks at a running installation from beside it: what `latchkey doctor` prints. Changes no row of the service's; it
/// writes small records into the log, to measure commits, and sends one notification, which makes nodes read early.
package struct Doctor: Sendable {
    private let database: Database
    let settings: DoctorSettings
    private let masterKeys: Result<MasterKeys, any Error>

    /// What the examinations go by.
    package struct DoctorSettings: Sendable {
        package var masterKeys: MasterKeySource
        package var publishLead: Int64
        package var connectionsOfOneNode: Int
        package var argon2: Argon2Parameters
        package var hashingMemoryKiB: Int
        /// What holds signing keys, where something does.
        package var token: SecurityToken?

        package init(
            masterKeys: MasterKeySource, publishLead: Int64, connectionsOfOneNode: Int, argon2: Argon2Parameters,
            hashingMemoryKiB: Int, token: SecurityToken? = nil
        ) {
            self.masterKeys = masterKeys
            self.publishLead = publishLead
            self.connectionsOfOneNode = connectionsOfOneNode
            self.argon2 = argon2
            self.hashingMemoryKiB = hashingMemoryKiB
            self.token = token
        }
    }

    package init(_ database: Database, settings: DoctorSettings) {
        self.database = database
        self.settings = settings
        masterKeys = Result { try settings.masterKeys.load() }
    }

    /// Tells each finding as it is made. Where the database is away, what needs it is left out.
    package func examine(_ tell: (Finding) -> Void) async {
        tell(masterKeysFinding())
        let reachable = await reach()
        tell(reachable)
        if reachable.level == .ok {
            for examination in Examination.allCases {
                guard let look = look(examination) else { continue }
                do {
                    tell(try await look())
                } catch {
                    // PostgresError's text is safe to print; of others only the kind is.
                    let text = (error as? PostgresError)?.description ?? "\(type(of: error))"
                    tell(Finding(examination, .fail, "could not be looked at: \(text)"))
                }
            }
        }
        tell(await argon2())
    }

    private typealias Look = () async throws -> Finding

    private func look(_ examination: Examination) -> Look? {
        switch examination {
        case .masterKeys, .database, .argon2: nil
        case .server: server
        case .durability: durability
        case .migrations: { Verdicts.migrations(try await Migrator(database, Migrations.all).status()) }
        case .clock: clock
        case .nodes: nodes
        case .signingKey: signingKey
        case .keySchedule: keySchedule
        case .feed: feed
        case .ring: ring
        case .commits: commits
        case .connections: connections
        }
    }

    private func masterKeysFinding() -> Finding {
        switch masterKeys {
        case .success(let keys):
            Finding(
                .masterKeys, .ok,
                "version \(keys.versions.map { "\($0)" }.joined(separator: ", ")) in \(settings.masterKeys.place)")
        case .failure(let error):
            Finding(.masterKeys, .fail, (error as? MasterKeyFolderError)?.description ?? "they could not be read")
        }
    }

    /// The first answer brings the connection; the second is a round trip.
    private func reach() async -> Finding {
        do {
            try await database.query("SELECT 1 AS one")
            let start = ContinuousClock.now
            try await database.query("SELECT 1 AS one")
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            return Finding(.database, .ok, "answers in \(Verdicts.milliseconds(seconds))")
        } catch {
            return Finding(
                .database, .fail, error.description,
                advice: "is PostgreSQL running, and are LATCHKEY_DATABASE_URL and the password right?")
        }
    }

    private func server() async throws -> Finding {
        let row = try await database.query(DoctorSQL.server).one()
        return Verdicts.server(number: try row.decode("version"), isStandby: try row.decode("standby"))
    }

    private func durability() async throws -> Finding {
        let row = try await database.query(DoctorSQL.durability).one()
        return Verdicts.durability(
            .init(
                fsync: try row.decode("fsync"), fullPageWrites: try row.decode("full_page_writes"),
                synchronousCommit: try row.decode("synchronous_commit"),
                synchronousStandbys: try row.decode("synchronous_standbys")))
    }

    private func clock() async throws -> Finding {
        var (ahead, error) = (0.0, Double.infinity)
        // The shortest of some round trips says most.
        for _ in 0..<5 {
            let before = Date().timeIntervalSince1970
            let now: Instant = try await database.query(DoctorSQL.now).one().decode("now")
            let after = Date().timeIntervalSince1970
            let half = (after - before) / 2
            if half < error { (ahead, error) = (Double(now.microseconds) / 1e6 - (before + half), half) }
        }
        return Verdicts.clock(ahead: ahead, error: error)
    }

    private func nodes() async throws -> Finding {
        var rows: [Verdicts.NodeRow] = []
        for row in try await database.query(DoctorSQL.nodes).rows {
            rows.append(
                .init(
                    version: try row.decode("version"), masterKeys: try row.decode("master_keys"),
                    age: try row.decode("now", as: Instant.self) - row.decode("ticked_at", as: Instant.self)))
        }
        return Verdicts.nodes(rows, held: try? masterKeys.get().versions)
    }

    private func keys() async throws -> RingReading {
        let begun = BootInstant.now()
        return try RingReading(try await database.batch(RingReading.statements), begun: begun)
    }

    /// Of every algorithm that signs; the first that does not open is told.
    private func signingKey() async throws -> Finding {
        let ring = try await keys()
        let signers = SignatureAlgorithm.allCases.compactMap {
            KeySchedule.signer(ring.keys, at: ring.clock.now, algorithm: $0)
        }
        guard !signers.isEmpty else {
            return Finding(.signingKey, .fail, "no key is active", advice: "start a node: it founds the keys")
        }
        var texts: [String] = []
        for signer in signers {
            let finding = try await examine(signer, among: ring.keys)
            guard finding.level == .ok else { return finding }
            texts.append(finding.text)
        }
        return Finding(.signingKey, .ok, texts.joined(separator: "; "))
    }

    private func examine(_ signer: SigningKey, among keys: [SigningKey]) async throws -> Finding {
        if signer.holder == .token { return try await inToken(signer) }
        do {
            _ = try signer.open(with: try masterKeys.get(), among: keys)
        } catch {
            return Finding(
                .signingKey, .fail, "\(signer.kid) does not open with the master keys in \(settings.masterKeys.place)",
                advice: (error as? SigningKeyError)?.description ?? "restore the master keys from your backup")
        }
        return Finding(.signingKey, .ok, "\(signer.kid) (\(signer.algorithm.rawValue)) opens")
    }

    private func keySchedule() async throws -> Finding {
        let ring = try await keys()
        // By what nodes serve by, or this command would where none has.
        let lead = max(ring.inForce.publishLead, settings.publishLead)
        return Verdicts.keySchedule(ring.keys, lead: lead, now: ring.clock.now)
    }

    private func feed() async throws -> Finding {
        let row = try await database.query(DoctorSQL.feed).one()
        let now: Instant = try row.decode("now")
        let last: Instant? = try row.decodeIfPresent("last")
        return Verdicts.feed(
            position: try row.decode("seq"), age: last.map { now - $0 }, roundTrip: await notificationRoundTrip())
    }

    /// Seconds; nil where none came within three.
    private func notificationRoundTrip() async -> Double? {
        let database = database
        let stream = database.notifications(on: "latchkey_revocations")
        return await withTaskGroup(of: Double?.self) { group in
            group.addTask {
                var sent: ContinuousClock.Instant?
                for await notification in stream {
                    if case .listening = notification {
                        sent = .now
                        _ = try? await database.query(DoctorSQL.notify)
                    } else if let sent {
                        return (ContinuousClock.now - sent) / .seconds(1)
                    }
                }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(3))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    private func ring() async throws -> Finding {
        let row = try await database.query(DoctorSQL.ring).one()
        return Verdicts.ring(
            used: try row.decode("used"), entries: try row.decode("entries"), bytes: try row.decode("bytes"))
    }

    /// For at most a second: records in the log that no table keeps.
    private func commits() async throws -> Finding {
        let (count, seconds) = try await database.lease { lease throws(PostgresError) in
            let start = ContinuousClock.now
            var count = 0
            repeat {
                try await lease.query(RevocationSQL.proveLivingPrimary)
                count += 1
            } while count < 2_000 && ContinuousClock.now - start < .seconds(1)
            return (count, (ContinuousClock.now - start) / .seconds(1))
        }
        return Verdicts.commits(perSecond: Double(count) / max(seconds, 1e-6))
    }

    private func connections() async throws -> Finding {
        let row = try await database.query(DoctorSQL.connections).one()
        return Verdicts.connections(
            used: try row.decode("used"), maximum: try row.decode("maximum"), ofOneNode: settings.connectionsOfOneNode)
    }

    private func argon2() async -> Finding {
        let cores = ProcessInfo.processInfo.activeProcessorCount
        let seconds = await Argon2Rate.measure(settings.argon2)
        var best: (parameters: Argon2Parameters, seconds: Double)?
        if let standard = await Argon2Rate.measure(.standard) {
            // More memory costs more than in proportion, beyond the caches: what was guessed from little is measured, and
            // guessed again from that.
            best = (.standard, standard)
            for _ in 0..<3 {
                guard let known = best, known.parameters == .standard || known.seconds > Argon2Rate.longest else {
                    break
                }
                let parameters = Argon2Rate.recommended(
                    secondsPerUnit: known.seconds / Double(known.parameters.cost), budgetKiB: settings.hashingMemoryKiB,
                    cores: cores)
                guard parameters != known.parameters, let measured = await Argon2Rate.measure(parameters) else { break }
                best = (parameters, measured)
            }
        }
        return Argon2Rate.verdict(settings.argon2, seconds: seconds, recommended: best)
    }
}
