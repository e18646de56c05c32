import JOSE
import LibCrypto
package import Postgres

/// Pure: from what was read to what it means. Times are microseconds, as the database's, where no unit is named.
package enum Verdicts {
    /// - Parameter number: `server_version_num`: 150018 is 15.18.
    package static func server(number: Int64, isStandby: Bool) -> Finding {
        let version = "\(number / 10_000).\(number % 10_000)"
        if isStandby {
            return Finding(
                .server, .fail, "PostgreSQL \(version) is a standby: nothing can be written",
                advice: "name the primary in LATCHKEY_DATABASE_URL")
        }
        // client_connection_check_interval, which every connection sets, came with 14.
        if number < 140_000 {
            return Finding(.server, .fail, "PostgreSQL \(version) is too old", advice: "run PostgreSQL 15")
        }
        let isTested = number / 10_000 == 15
        return Finding(
            .server, isTested ? .ok : .warn, "PostgreSQL \(version)",
            advice: isTested ? nil : "Latchkey is tested on PostgreSQL 15: try this version before you rely on it")
    }

    package struct Durability: Sendable {
        package var fsync: String
        package var fullPageWrites: String
        /// The server's default; every connection of Latchkey's sets `on`.
        package var synchronousCommit: String
        package var synchronousStandbys: String

        package init(fsync: String, fullPageWrites: String, synchronousCommit: String, synchronousStandbys: String) {
            self.fsync = fsync
            self.fullPageWrites = fullPageWrites
            self.synchronousCommit = synchronousCommit
            self.synchronousStandbys = synchronousStandbys
        }
    }

    package static func durability(_ it: Durability) -> Finding {
        let standbys = it.synchronousStandbys.isEmpty ? "no synchronous standby" : "synchronous standbys"
        let text =
            "fsync \(it.fsync), full_page_writes \(it.fullPageWrites), synchronous_commit \(it.synchronousCommit) "
            + "(Latchkey's own connections: on), \(standbys)"
        guard it.fsync == "on", it.fullPageWrites == "on" else {
            return Finding(
                .durability, .fail, text,
                advice: "a crash may lose revocations that were acknowledged: set fsync and full_page_writes on")
        }
        return Finding(.durability, .ok, text)
    }

    package static func migrations(_ status: MigrationStatus) -> Finding {
        switch status {
        case .current: Finding(.migrations, .ok, "current")
        case .behind(let missing):
            Finding(
                .migrations, .fail, "the database lacks \(missing.joined(separator: ", "))",
                advice: "run `latchkey migrate`")
        case .ahead(let unknown):
            Finding(
                .migrations, .fail, "a newer version has applied \(unknown.joined(separator: ", "))",
                advice: "run that version of latchkey")
        case .edited(let name):
            Finding(
                .migrations, .fail, "\(name) differs from the one that was applied",
                advice: "run the version that applied it")
        }
    }

    /// - Parameters:
    ///   - seconds: the database's clock less this machine's.
    ///   - error: by how much that may be wrong: half of the round trip.
    package static func clock(ahead seconds: Double, error: Double) -> Finding {
        let text = "the database's clock is \(milliseconds(seconds)) ahead of this machine's, ± \(milliseconds(error))"
        return abs(seconds) >= NodeClock.largestOffset
            ? Finding(
                .clock, .warn, text, advice: "mend NTP on both: verifiers far from the database's clock refuse tokens")
            : Finding(.clock, .ok, text)
    }

    package struct NodeRow: Sendable {
        package var version: String
        package var masterKeys: [Int16]
        /// Microseconds since its last tick.
        package var age: Int64

        package init(version: String, masterKeys: [Int16], age: Int64) {
            self.version = version
            self.masterKeys = masterKeys
            self.age = age
        }
    }

    /// - Parameter held: the master keys of this command; nil where they could not be read.
    package static func nodes(_ rows: [NodeRow], held: [Int16]?) -> Finding {
        // Rows stay for a day after a node has ended: those that are silent for longer than a start takes say nothing.
        let ticking = rows.filter { $0.age < 2_000_000 }
        let halting = rows.filter { (2_000_000..<30_000_000).contains($0.age) }
        let versions = Set(ticking.map(\.version)).sorted()
        let text =
            "\(ticking.count) ticking" + (versions.isEmpty ? "" : " (version \(versions.joined(separator: ", ")))")
            + (halting.isEmpty ? "" : ", \(halting.count) silent for 2 to 30 s")
        if ticking.isEmpty {
            return Finding(.nodes, .warn, text, advice: "start one with `latchkey serve`, or look why none ticks")
        }
        if Set(ticking.map { Set($0.masterKeys) }).count > 1 {
            return Finding(
                .nodes, .fail, text + ", with different master keys",
                advice: "give every node the same files in LATCHKEY_KEYS_DIR")
        }
        if let held, let first = ticking.first, Set(first.masterKeys) != Set(held) {
            return Finding(
                .nodes, .fail, text + ", with other master keys than this command",
                advice: "run it with the LATCHKEY_KEYS_DIR of the nodes")
        }
        if !halting.isEmpty {
            return Finding(
                .nodes, .warn, text,
                advice: "a node that ended is forgotten after a while; one that still runs cannot reach the database")
        }
        if versions.count > 1 {
            return Finding(.nodes, .warn, text, advice: "finish the upgrade: all nodes on one version")
        }
        return Finding(.nodes, .ok, text)
    }

    /// Of every algorithm that has a key which signs or is to sign: the worst of them decides.
    package static func keySchedule(_ keys: [SigningKey], lead: Int64, now: Instant) -> Finding {
        let known = SignatureAlgorithm.allCases.filter { algorithm in
            keys.contains { $0.algorithm == algorithm && ($0.isStandby || $0.isLastSigner) }
        }
        guard !known.isEmpty else {
            return Finding(
                .keySchedule, .fail, "no key is active",
                advice: "start a node: it founds the keys of an empty database")
        }
        let findings = known.map { keySchedule(of: $0, keys, lead: lead, now: now) }
        let ranks: [Finding.Level] = [.fail, .warn]
        let worst = ranks.lazy.compactMap { level in findings.first { $0.level == level } }.first
        var text = findings.map(\.text).joined(separator: "; ")
        var (level, advice) = (worst?.level ?? .ok, worst?.advice)
        let left = keys.count { $0.isLeftInToken }
        if left > 0 {
            text += "; \(left) that were wiped are still in the PKCS #11 token"
            if level == .ok {
                (level, advice) = (.warn, "a node that reaches the token destroys them within minutes: see its log")
            }
        }
        return Finding(.keySchedule, level, text, advice: advice)
    }

    private static func keySchedule(
        of algorithm: SignatureAlgorithm, _ keys: [SigningKey], lead: Int64, now: Instant
    ) -> Finding {
        let signer = KeySchedule.signer(keys, at: now, algorithm: algorithm)
        let standbys = keys.filter { $0.isStandby && $0.algorithm == algorithm }
        let ripeAt = standbys.compactMap { $0.ripeAt(lead: lead) }.sorted()
        let ripe = ripeAt.filter { $0 <= now }.count
        let since = signer?.activatesAt
        var text = "\(algorithm.rawValue): "
        text += since.map { "the active key has signed for \(span(now - $0))" } ?? "no key is active"
        text += ", \(standbys.count) standbys, \(ripe) ripe"
        if let next = ripeAt.first(where: { $0 > now }) { text += ", the next in \(span(next - now))" }
        if since == nil {
            // One that has just come into use waits for its first key to ripen; another one signs meanwhile.
            let isNew = KeySchedule.signer(keys, at: now, preferring: algorithm) != nil
            return isNew
                ? Finding(.keySchedule, .ok, text)
                : Finding(
                    .keySchedule, .fail, text, advice: "start a node: it founds the keys of an empty database")
        }
        if standbys.count < KeySchedule.standbys {
            return Finding(
                .keySchedule, .fail, text, advice: "a node publishes what is missing within seconds: see its log")
        }
        if ripe == 0 {
            return Finding(
                .keySchedule, .warn, text, advice: "until then a leaked key cannot be rotated away without waiting")
        }
        return Finding(.keySchedule, .ok, text)
    }

    /// - Parameters:
    ///   - roundTrip: seconds from a notification to its arrival; nil where none came.
    ///   - age: microseconds since the last revocation; nil where there was none within a day.
    package static func feed(position: Int64, age: Int64?, roundTrip: Double?) -> Finding {
        let text =
            "position \(position), the last revocation "
            + (age.map { "\(span($0)) ago" } ?? "more than a day ago, or none")
        guard let roundTrip else {
            return Finding(
                .feed, .fail, text + "; no notification arrived within 3 s",
                advice: "LISTEN does not pass a pooler in transaction mode: connect to PostgreSQL itself")
        }
        let told = text + "; a notification takes \(milliseconds(roundTrip))"
        return roundTrip < 0.1
            ? Finding(.feed, .ok, told)
            : Finding(.feed, .warn, told, advice: "other nodes should hear within 100 ms: look at load and network")
    }

    /// - Parameter used: slots of the ring of 16 that hold rows; ten are enough for what is alive.
    package static func ring(used: Int64, entries: Int64, bytes: Int64) -> Finding {
        let text = "about \(entries) entries in \(used) of 16 slots, \(bytes / 1_048_576) MiB"
        return used <= 11
            ? Finding(.ring, .ok, text)
            : Finding(
                .ring, .warn, text,
                advice: "spent slots are not emptied: look for long reads of revocation_entries, such as a dump")
    }

    /// - Parameter perSecond: commits that one connection got, one after the other.
    package static func commits(perSecond rate: Double) -> Finding {
        let text = "\(Int(rate)) commits a second one after the other: \(milliseconds(1 / max(rate, 0.001))) each"
        return rate >= 100
            ? Finding(.commits, .ok, text)
            : Finding(
                .commits, .warn, text,
                advice: "each login, refresh and revocation waits for one: put the WAL on a faster disk")
    }

    package static func connections(used: Int64, maximum: Int64, ofOneNode: Int) -> Finding {
        let text = "\(used) of \(maximum) in use; a node takes up to \(ofOneNode)"
        return used * 10 < maximum * 8
            ? Finding(.connections, .ok, text)
            : Finding(
                .connections, .warn, text,
                advice: "raise max_connections, or lower LATCHKEY_DATABASE_CONNECTIONS")
    }

    static func milliseconds(_ seconds: Double) -> String {
        let hundredths = Int64((seconds * 100_000).rounded())
        return "\(Double(hundredths) / 100) ms"
    }

    /// Microseconds in the largest unit that fits.
    static func span(_ microseconds: Int64) -> String {
        let seconds = microseconds / 1_000_000
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7_200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3_600) h"
        default: "\(seconds / 86_400) days"
        }
    }
}
