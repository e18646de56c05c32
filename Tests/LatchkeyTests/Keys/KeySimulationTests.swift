import Foundation
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

extension KeySimulation {
    /// One moment in the life of the world, and what must hold in it.
    mutating func live() throws {
        tally.events += 1
        let lead = settings.publishLead * 1_000_000
        hurry = max(0, hurry - 1)
        switch hurry > 0 ? 0 : Int.random(in: 0..<10, using: &random) {
        case 0..<5: time += Int64.random(in: 0...2_000_000, using: &random)
        case 5..<8: time += Int64.random(in: 0...lead / 6, using: &random)
        default: time += Int64.random(in: 0...2 * lead, using: &random)
        }
        try showHeldBack()
        try wake()
        for index in nodes.indices where nodes[index].condition == .up && !chance(10) { try tick(index) }
        if chance(100) { try stepClock() }
        try act()
        try check()
        if chance(60) { disturb() }
    }

    private mutating func wake() throws {
        for index in nodes.indices {
            switch nodes[index].condition {
            case .up: continue
            case .cut(let until) where until <= time: nodes[index].condition = .up
            case .paused(let until) where until <= time:
                nodes[index].condition = .up
                try sign(index)
            case .down(let until) where until <= time:
                nodes.remove(at: index)
                try start()
                tally.restarts += 1
                return try tick(nodes.count - 1)
            case .cut, .paused, .down: continue
            }
        }
    }

    private mutating func act() throws {
        for index in nodes.indices where nodes[index].condition == .up {
            try mint(index)
            if nodes[index].condition == .up, chance(2) { try keepSchedule(index) }
        }
        guard let index = nodes.indices.filter({ nodes[$0].condition == .up }).randomElement(using: &random) else {
            return
        }
        // Now and then all standbys are used up.
        if chance(60) || (restlessUntil > time && chance(3)) { try harass(index) }
        if chance(20) { narrow() }
        if held == nil, chance(600),
            let kid = keys.filter({ $0.compromisedAt == nil }).randomElement(using: &random)?.kid
        {
            try compromise(kid, policy: nodes[index].policy.widened(by: inForce))
            // And within the hour after it once more.
            if chance(3), let signer = KeySchedule.signer(keys, at: clock.now, algorithm: .rs256) {
                try compromise(signer.kid, policy: nodes[index].policy.widened(by: inForce))
            }
        }
    }

    /// An operator who cannot wait, at the worst of moments: verifiers have just fetched what they will keep, and whatever a
    /// node lets him rotate to signs at once.
    private mutating func harass(_ index: Int) throws {
        tally.harassed += 1
        if chance(2) { for verifier in verifiers.indices { _ = fetch(verifier, mayBeUnknown: false) } }
        for _ in 0..<Int.random(in: 1...4, using: &random) { try rotateByHand(index) }
        hurry = Int.random(in: 0...4, using: &random)
    }

    /// The database's clock jumps; for up to half a second nobody has noticed, and all go on.
    private mutating func stepClock() throws {
        guard nodes.contains(where: { $0.condition == .up }) else { return }
        tally.steps += 1
        // Standbys that have just been stamped are those that it would ripen.
        if chance(2), let index = nodes.indices.first(where: { nodes[$0].condition == .up }) {
            try harass(index)
            for _ in 0..<3 {
                time += Int64.random(in: 0...500_000, using: &random)
                for index in nodes.indices where nodes[index].condition == .up {
                    try tick(index)
                    try keepSchedule(index)
                }
            }
        }
        let size = Int64.random(in: 2_100_000...(chance(3) ? 90_000_000_000 : 4_000_000_000), using: &random)
        offset += chance(2) ? size : -size
        time += Int64.random(in: 0...500_000, using: &random)
        try act()
        for index in nodes.indices where nodes[index].condition == .up { try tick(index) }
        if chance(2) { restlessUntil = time + 30_000_000 }
    }

    private mutating func disturb() {
        guard let index = nodes.indices.randomElement(using: &random), nodes[index].condition == .up else { return }
        let until = time + Int64.random(in: 0...(chance(4) ? 2 * settings.settling : 120) * 1_000_000, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            // Long enough for what it still serves to grow old.
            let long = time + Int64.random(in: 0...3 * settings.settling * 1_000_000, using: &random)
            nodes[index].condition = .cut(until: chance(2) ? until : long)
            if chance(4) { restlessUntil = max(until, long) }
        case 1: nodes[index].condition = .paused(until: until)
        default: nodes[index].condition = .down(until: until)
        }
    }

    private mutating func check() throws {
        tokens.removeAll { time - $0.minted >= $0.lives + $0.leeway }
        let now = clock.now
        let standing = Set(keys.filter { $0.isInJWKS(at: now) }.map(\.kid))
        for token in tokens where !standing.contains(token.kid) {
            throw failure("\(token.kid) has left, and a token of it lives")
        }
        for algorithm in [SignatureAlgorithm.rs256, .es256] {
            let active = keys.filter { $0.algorithm == algorithm && $0.state(at: now) == .active }
            guard active.count <= 1 else { throw failure("\(active.map(\.kid)) are active at once") }
        }
        guard KeySchedule.signer(keys, at: now, preferring: .rs256) != nil else { throw failure("no key signs") }
        for index in verifiers.indices {
            for _ in 0..<4 {
                // The newest are the likeliest to be unknown, the oldest to be forgotten.
                guard let token = chance(2) ? tokens.last : tokens.randomElement(using: &random) else { continue }
                try present(token, to: index)
            }
        }
    }

    private mutating func present(_ token: Token, to index: Int) throws {
        // By a step of the clock it may lie in the future, or have expired early: then it is not valid.
        let trueNow = Instant(microseconds: Self.epoch.microseconds + time)
        let now = verifiers[index].wall == .own ? trueNow : raw
        guard token.issuedAt - now <= token.leeway, now - token.issuedAt < token.lives + token.leeway else {
            return
        }
        let mayBeUnknown = unripe[token.kid].map { $0 > time } ?? false
        if verifiers[index].until <= time, !fetch(index, mayBeUnknown: false) { return }
        if !verifiers[index].kids.contains(token.kid), verifiers[index].kind == .refetches {
            if !fetch(index, mayBeUnknown: mayBeUnknown) { return }
        } else if mayBeUnknown {
            return
        }
        guard verifiers[index].kids.contains(token.kid) else {
            throw failure("\(verifiers[index].kind) refuses a token of \(token.kid)")
        }
        tally.verified += 1
    }

    /// From any node that serves the JWKS. False where none does.
    private mutating func fetch(_ index: Int, mayBeUnknown: Bool) -> Bool {
        let kind = verifiers[index].kind
        let serving = nodes.filter { node in
            guard let confirmed = node.confirmed else { return false }
            switch node.condition {
            case .up: break
            case .cut: if mayBeUnknown { return false }
            case .paused, .down: return false
            }
            let age = time - confirmed
            // Who keeps for ten minutes what a node lets him keep for less has no promise of a node that has lost its
            // database and serves what it still knows: from its age of lead − 600 − leeway on, while it serves up to lead −
            // max-age − leeway, he is not sent there. (`docs/keys.md` says so where it promises him his ten minutes.)
            let stubborn = (node.policy.publishLead - SimulatedVerifier.stubbornly - node.policy.leeway) * 1_000_000
            if kind == .stubborn, age >= stubborn { return false }
            return node.policy.serves(ringAged: age * 1000) && (!mayBeUnknown || node.version == version)
        }
        guard let node = serving.randomElement(using: &random), let now = node.steady.steady(at: node.boot(time)) else {
            tally.unserved += 1
            return false
        }
        verifiers[index].kids = Set(node.ring.filter { $0.isInJWKS(at: now) }.map(\.kid))
        verifiers[index].until =
            time + (kind == .stubborn ? SimulatedVerifier.stubbornly : node.policy.maxAge) * 1_000_000
        return true
    }
}

extension KeySimulation {
    fileprivate var days: Int64 { time / 86_400_000_000 }
}

/// A thousand rotations over simulated months, but for what `SimulatedVerifier.Kind.stubborn` is not promised.
/// `LATCHKEY_SEED=n` replays one world.
@Suite struct `The life of keys in simulated time` {
    static let seeds: [UInt64] =
        ProcessInfo.processInfo.environment["LATCHKEY_SEED"].flatMap { UInt64($0) }.map { [$0] }
        ?? (0..<8).map { _ in UInt64.random(in: 0...999_999) }

    @Test(arguments: seeds)
    func `refuses no valid token, and one key signs at each instant`(seed: UInt64) throws {
        var world = try KeySimulation(seed: seed)
        do {
            // Impatient operators get there in days: the schedule's own pace is months.
            // Until a node was restarted, too: one world in many would come so far without.
            while world.tally.rotations < 130 || world.days < 30 || world.tally.restarts == 0 { try world.live() }
        } catch {
            Issue.record("LATCHKEY_SEED=\(seed): \(error)")
        }
        print("keys simulated: LATCHKEY_SEED=\(seed), \(world.days) days, \(world.tally)")
        // A world in which nothing happens proves nothing.
        #expect(world.tally.verified > 10 * world.tally.rotations)
        #expect(world.tally.unserved < world.tally.verified)
        #expect(world.tally.removed > 50)
        #expect(world.tally.wiped > 50)
    }
}
