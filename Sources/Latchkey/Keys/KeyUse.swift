import JOSE
package import Logging
package import Postgres
import ServiceLifecycle
import Synchronization

/// Who uses the keys: which verifiers hold them, and how many tokens live under each. This room owns `verifiers` and
/// `minted_tokens`. A fetch or a signature costs no statement: a node counts in memory and adds that to the tables
/// twice a minute, so what they say is up to half a minute old, and what a killed node had counted since is lost.
/// It is for operators, and for a rotation that was asked to wait; no safety rests on it.
package final class KeyUse: Service {
    /// So many verifiers are remembered, in a node as in the table. Names cost nothing: of more the least recent go.
    package static let mostVerifiers = 1000
    package static let interval: Duration = .seconds(30)

    private struct Minute: Hashable {
        let kid: String
        /// Minutes since 1970 by the database's clock.
        let number: Int64
    }

    private struct Gathered {
        // Names and kids are ASCII, where `==` is the equality of bytes.
        var seen: [String: SeenVerifier] = [:]
        var minted: [Minute: Int64] = [:]

        /// Of two sightings the later holds; fetches add up.
        mutating func add(_ verifier: SeenVerifier) {
            if let other = seen[verifier.name] {
                let later = other.seenAt > verifier.seenAt ? other : verifier
                seen[verifier.name] = SeenVerifier(
                    name: later.name, seenAt: later.seenAt, fetches: other.fetches + verifier.fetches,
                    kids: later.kids, source: later.source)
                return
            }
            if seen.count >= KeyUse.mostVerifiers {
                // Half at once: who sends a new name with every request does not make each of them sort a thousand.
                let recent = seen.values.sorted { $0.seenAt > $1.seenAt }.prefix(KeyUse.mostVerifiers / 2)
                seen = Dictionary(uniqueKeysWithValues: recent.map { ($0.name, $0) })
            }
            seen[verifier.name] = verifier
        }
    }

    private let database: Database
    private let clock: NodeClock
    private let logger: Logger
    private let gathered = Mutex(Gathered())
    private let unnamedFetches = Atomic<Int64>(0)

    package init(_ database: Database, clock: NodeClock, logger: Logger) {
        self.database = database
        self.clock = clock
        self.logger = logger
    }

    /// A fetch of the JWKS that was answered with `served`. Of what a verifier reports only these keys are kept: what
    /// nobody signs with is nobody's business, and a made-up kid takes no memory.
    package func fetched(by report: VerifierReport?, served: [String]) {
        guard let report else {
            unnamedFetches.wrappingAdd(1, ordering: .relaxed)
            return
        }
        guard let now = clock.now() else { return }
        let held = report.kids.map { kids in served.filter { kid in kids.contains { $0.isSameText(as: kid) } } }
        let verifier = SeenVerifier(
            name: report.name, seenAt: now, fetches: 1, kids: held ?? served, source: held == nil ? .answer : .report)
        gathered.withLock { $0.add(verifier) }
    }

    /// An access token was signed.
    /// - Parameter instant: its `iat`, before rounding.
    package func minted(under kid: String, at instant: Instant) {
        let minute = Minute(kid: kid, number: instant.seconds / 60)
        gathered.withLock { $0.minted[minute, default: 0] += 1 }
    }

    /// Adds what was counted since the last time to the tables. Where that fails it is kept for the next time, and
    /// counted twice where the outcome was unknown.
    package func flush() async throws(PostgresError) {
        let taken = gathered.withLock { gathered in
            defer { gathered = Gathered() }
            return gathered
        }
        let unnamed = unnamedFetches.exchange(0, ordering: .relaxed)
        var seen = Array(taken.seen.values)
        if unnamed > 0, let now = clock.now() {
            seen.append(SeenVerifier(name: "", seenAt: now, fetches: unnamed, kids: [], source: .answer))
        }
        guard !seen.isEmpty || !taken.minted.isEmpty else { return }
        seen.sort { $0.name < $1.name }
        let minted = taken.minted.map { minute, count in
            (kid: minute.kid, minute: Instant(seconds: minute.number * 60), count: count)
        }.sorted { ($0.kid, $0.minute) < ($1.kid, $1.minute) }
        do throws(PostgresError) {
            try await database.batch([KeyUseSQL.add(seen), KeyUseSQL.add(minted)])
        } catch {
            unnamedFetches.wrappingAdd(unnamed, ordering: .relaxed)
            gathered.withLock { gathered in
                for verifier in taken.seen.values { gathered.add(verifier) }
                gathered.minted.merge(taken.minted, uniquingKeysWith: +)
            }
            throw error
        }
        try await database.query(KeyUseSQL.forgetVerifiers(keeping: Int64(Self.mostVerifiers)))
        try await database.query(KeyUseSQL.forgetMinted)
    }

    /// Returns at graceful shutdown, with a last flush; a failed one is tried again in half a minute.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: Self.interval)) != nil { await self.flushOrTell() }
        }
        await flushOrTell()
    }

    private func flushOrTell() async {
        do {
            try await flush()
        } catch {
            if Task.isCancelled { return }
            logger.notice("the use of the keys will be written in half a minute", metadata: ["error": "\(error)"])
        }
    }

    /// What the tables say.
    package struct Overview: Sendable {
        /// Ordered by name; those that do not name themselves are none of them.
        package let verifiers: [SeenVerifier]
        /// Fetches without a name, and when the last of them was, to half a minute.
        package let unnamed: (fetches: Int64, lastAt: Instant)?
        /// By kid: about how many tokens may be alive, revoked ones among them.
        package let alive: [String: Int64]
        package let now: Instant
    }

    /// With what this node has counted, which is flushed first.
    package func overview() async throws(PostgresError) -> Overview {
        try await flush()
        let results = try await database.batch([KeyUseSQL.verifiers, KeyUseSQL.alive, KeyUseSQL.now])
        var verifiers: [SeenVerifier] = []
        for row in results[0].rows { verifiers.append(try SeenVerifier(row)) }
        var alive: [String: Int64] = [:]
        for row in results[1].rows { alive[try row.decode("kid")] = try row.decode("alive") }
        let unnamed = verifiers.first { $0.name.isEmpty }
        return Overview(
            verifiers: verifiers.filter { !$0.name.isEmpty }, unnamed: unnamed.map { ($0.fetches, $0.seenAt) },
            alive: alive, now: try results[2].one().decode("now"))
    }
}
