import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres

@testable import Latchkey

/// A row of `signing_keys`.
struct KeyRow: CustomStringConvertible {
    let kid: String
    let algorithm: SignatureAlgorithm
    let created: Instant
    var founding = false
    var sealed = true
    var published: Instant?
    var activates: Instant?
    var retires: Instant?
    var leaves: Instant?
    var removed: Instant?
    var compromised: Instant?

    /// Seconds since the world began.
    var description: String {
        let times = [
            ("published", published), ("activates", activates), ("retires", retires), ("leaves", leaves),
            ("removed", removed), ("compromised", compromised),
        ].compactMap { name, time in time.map { "\(name) \(Double($0 - KeySimulation.epoch) / 1e6)" } }
        return "\n\(kid) \(algorithm.rawValue) \(times.joined(separator: ", "))"
    }

    func key() throws -> SigningKey {
        SigningKey(
            kid: kid, publicKey: try DrawnKey.publicKey(algorithm), sealed: sealed ? [1] : nil, masterKeyVersion: 1,
            isFounding: founding, createdAt: created, publishedAt: published, activatesAt: activates,
            retiresAt: retires, leavesAt: leaves, removedAt: removed, compromisedAt: compromised)
    }
}

/// A database, nodes, verifiers and tokens in simulated time. Decisions are the service's own functions; what is modelled
/// here is what carries them: the rows, the network, the clocks. Microseconds where no unit is named.
struct KeySimulation {
    struct Failure: Error, CustomStringConvertible { let description: String }

    struct Tick {
        var seen: Instant
        var step: SteadyClock.Step?
        var settings: SettingsInForce
    }

    struct Token {
        let kid: String
        let issuedAt: Instant
        /// In true time.
        let minted: Int64
        /// Its life and the leeway of the node that minted it.
        let lives: Int64
        let leeway: Int64
    }

    struct Tally {
        var events = 0, rotations = 0, compromises = 0, unripe = 0, steps = 0, restarts = 0, minted = 0, verified = 0
        var heldBack = 0, late = 0, harassed = 0, removed = 0, wiped = 0, algorithms = 0, unserved = 0
    }

    var random: SeededGenerator
    /// True time, since the world began; the database's clock is `offset` ahead of it.
    var time: Int64 = 0
    var offset: Int64 = 0
    /// The database.
    var rows: [KeyRow] = []
    var keys: [SigningKey] = []
    var version: Int64 = 1
    var settings: SettingsInForce
    var ticks: [Int: Tick] = [:]
    /// Rows that a COMMIT has written and a synchronous standby holds back: the ring's lock is held meanwhile.
    var held: (until: Int64, rows: [KeyRow])?
    var nodes: [SimulatedNode] = []
    var verifiers: [SimulatedVerifier] = []
    var tokens: [Token] = []
    /// Keys that signed before every verifier could know them, since nothing else was left: until when.
    var unripe: [String: Int64] = [:]
    var born = 0
    var lastNode = 0
    var tally = Tally()
    /// Until then somebody rotates by hand as often as it is let; so many moments follow closely.
    var restlessUntil: Int64 = 0
    var hurry = 0
    /// Whether verifiers that cache for ten minutes whatever they are told are among them.
    let hasStubborn: Bool

    static let epoch = Instant(seconds: 1_700_000_000)
    var raw: Instant { Instant(microseconds: Self.epoch.microseconds + time + offset) }

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        hasStubborn = random.next() % 2 == 0
        settings = SettingsInForce(
            accessToken: 1, publishLead: 0, maxAge: 0, leeway: 0, failover: "lossy", algorithms: [])
        for number in 0...KeySchedule.standbys {
            rows.append(
                KeyRow(
                    kid: newKid(), algorithm: .rs256, created: raw, founding: true, published: raw,
                    activates: number == 0 ? raw : nil))
        }
        try refresh()
        for _ in 0..<Int.random(in: 2...5, using: &random) { try start() }
        for node in nodes.indices { try tick(node) }
        let kinds: [SimulatedVerifier.Kind] = [.obeys, .obeys, .refetches] + (hasStubborn ? [.stubborn] : [])
        verifiers = kinds.flatMap { kind in
            [SimulatedVerifier(kind: kind, wall: .own), SimulatedVerifier(kind: kind, wall: .databases)]
        }
    }

    mutating func newKid() -> String {
        born += 1
        return "k\(born)"
    }

    mutating func refresh() throws { keys = try rows.map { try $0.key() } }

    mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }

    func failure(_ text: String) -> Failure {
        Failure(
            description:
                "at \(time / 1_000_000) s, version \(version): \(text), clock \(Double(clock.now - Self.epoch) / 1e6), settled \(Double(clock.settled - Self.epoch) / 1e6)\n\(rows.suffix(9))"
        )
    }

    // MARK: the database's clock, as `steady_clock()` reads it

    var clock: ClockReading {
        let steady = max(raw, ticks.values.map(\.seen).max() ?? raw)
        let since = steady - settings.settling
        return ClockReading(
            now: steady, settled: ticks.values.compactMap(\.step).filter { $0.at > since }.map(\.from).min())
    }

    /// Ticks that count.
    var recent: [SettingsInForce] {
        let since = clock.settled - settings.settling
        return ticks.values.filter { $0.seen > since }.map(\.settings)
    }

    var inForce: SettingsInForce {
        var inForce = settings
        inForce.algorithms = Array(Set(recent.flatMap(\.algorithms)))
        return inForce
    }

    // MARK: what a transaction writes

    /// - Parameter change: what is written, under the ring's lock.
    mutating func commit(_ change: (inout [KeyRow]) throws -> Void) throws {
        var after = rows
        try change(&after)
        // A COMMIT is held back now and then, for up to ten minutes.
        if chance(25) {
            tally.heldBack += 1
            held = (time + Int64.random(in: 0...600_000_000, using: &random), after)
        } else {
            rows = after
            version += 1
            try refresh()
        }
    }

    mutating func showHeldBack() throws {
        guard let held, held.until <= time else { return }
        rows = held.rows
        self.held = nil
        version += 1
        try refresh()
    }

    private func row(_ kid: String, in rows: [KeyRow]) throws -> Int {
        guard let index = rows.firstIndex(where: { $0.kid == kid }) else { throw failure("no key \(kid)") }
        return index
    }

    /// What `KeyChange` says in SQL.
    mutating func carryOut(_ steps: [KeySchedule.Step], now: Instant) throws {
        var kids = steps.map { _ in "" }
        for index in steps.indices { if case .publish = steps[index] { kids[index] = newKid() } }
        for step in steps {
            switch step {
            case .rotate: tally.rotations += 1
            case .activate: tally.algorithms += 1
            case .remove: tally.removed += 1
            case .wipe: tally.wiped += 1
            case .publish, .stamp, .retire, .part: continue
            }
        }
        let current = self
        try commit { rows in
            for (step, kid) in zip(steps, kids) {
                switch step {
                case .publish(let algorithm): rows.append(KeyRow(kid: kid, algorithm: algorithm, created: now))
                case .stamp(let kid): rows[try current.row(kid, in: rows)].published = now
                case .activate(let kid, let at, _): rows[try current.row(kid, in: rows)].activates = at
                case .rotate(let from, let to, let at):
                    rows[try current.row(from, in: rows)].retires = at
                    rows[try current.row(to, in: rows)].activates = at
                case .retire(let kid, let at): rows[try current.row(kid, in: rows)].retires = at
                case .part(let kid, let at): rows[try current.row(kid, in: rows)].leaves = at
                case .remove(let kid, let at): rows[try current.row(kid, in: rows)].removed = at
                case .wipe(let kid): rows[try current.row(kid, in: rows)].sealed = false
                }
            }
        }
        // Old history is nobody's: the decisions need not walk over it.
        rows.removeAll { !$0.sealed && $0.removed.map { $0 + 86_400 < now } ?? true }
        try refresh()
    }

    /// The day a key leaks.
    mutating func compromise(_ kid: String, policy: KeyPolicy) throws {
        let clock = clock
        var succession = KeySchedule.succession(keys, of: kid, policy: policy, clock: clock)
        if succession == .nobody {
            guard let algorithm = keys.first(where: { $0.kid == kid })?.algorithm else { return }
            rows.append(KeyRow(kid: newKid(), algorithm: algorithm, created: clock.now))
            try refresh()
            succession = KeySchedule.succession(keys, of: kid, policy: policy, clock: clock)
        }
        let key = try row(kid, in: rows)
        guard rows[key].compromised == nil else { return }
        tally.compromises += 1
        rows[key].compromised = clock.now
        switch succession {
        case .nobody: throw failure("nobody succeeds \(kid), though a key was made for that")
        case .unneeded: break
        case .takenOver(let next, let at, let standing):
            let other = try row(next, in: rows)
            rows[key].retires = at
            rows[other].activates = at
            rows[other].published = rows[other].published ?? at
            if case .unripe = standing {
                tally.unripe += 1
                unripe[next] = time + (policy.settling + 700) * 1_000_000
            }
        }
        version += 1
        try refresh()
        tokens.removeAll { $0.kid == kid }
    }
}
