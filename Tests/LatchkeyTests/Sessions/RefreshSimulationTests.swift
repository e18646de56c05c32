import Foundation
import Testing

/// What somebody might make of the rule, or of what carries it, and believe to be as good.
enum RefreshMutant: String, Sendable, CaseIterable {
    /// A void token is spared while it is recent: "it is only a tab that was slow".
    case recentIsSpared
    /// The same successor for ever.
    case endlessGrace
    /// No grace, or no recovery.
    case noGrace, noRecovery
    /// A limit of 0 matches an age of 0.
    case zeroMatches
    /// A clock stepped back makes an age large instead of 0.
    case ageIsDistance
    /// Recover counts the unused successor as used; prolongs the session; starts the time of recovery anew.
    case recoveryConfirms, recoveryProlongs, recoveryRenews
    /// Repeat hands out what it does not write.
    case repeatIsNew
    /// A void token is refused, and the session lives on.
    case voidIsRefused
    /// The conditional statement forgets its condition.
    case advancesAnything
    /// The slow path decides by the row as it was before it had the lock.
    case decidesBeforeLock
}

/// `LATCHKEY_SEED=n` begins with that world; `LATCHKEY_REFRESHES=1000000` for the long run.
@Suite struct `The rule of refreshing in simulated time` {
    private static let environment = ProcessInfo.processInfo.environment
    private static let chosen = environment["LATCHKEY_SEED"].flatMap { UInt64($0) }
    private static let first = chosen ?? UInt64.random(in: 0...999_999)
    /// Some mutants show in one world of a hundred thousand: here they do early.
    private static let firstOfMutants: UInt64 = chosen ?? 272_668
    private static let refreshes = environment["LATCHKEY_REFRESHES"].flatMap { Int($0) } ?? 60_000

    /// Worlds one after another, each of at most 200 refreshes, until so many were made.
    /// - Returns: what was counted, and the worlds that failed, at most three.
    static func live(
        _ refreshes: Int, from first: UInt64, in world: RefreshSimulation.World, mutant: RefreshMutant? = nil
    ) async -> (tally: RefreshSimulation.Tally, worlds: Int, failures: [String]) {
        var (tally, worlds, failures) = (RefreshSimulation.Tally(), 0, [String]())
        while tally.refreshes < refreshes, failures.count < (mutant == nil ? 3 : 1), worlds < refreshes {
            let seed = first &+ UInt64(worlds)
            var simulation = RefreshSimulation(seed: seed, world: world, mutant: mutant)
            do {
                try simulation.live(refreshes: 200)
            } catch {
                failures.append("LATCHKEY_SEED=\(seed): \(error)")
            }
            tally += simulation.tally
            worlds += 1
            // Other tests wait for this thread.
            await Task.yield()
        }
        return (tally, worlds, failures)
    }

    @Test(arguments: RefreshSimulation.World.allCases)
    func `spares the honest, ends what a thief shares, and lets no void token work`(world: RefreshSimulation.World)
        async
    {
        let begun = ContinuousClock.now
        let (tally, worlds, failures) = await Self.live(Self.refreshes / 4, from: Self.first, in: world)
        let spent = ContinuousClock.now - begun
        for failure in failures { Issue.record("\(failure)") }
        print(
            "refresh simulated: \(world), LATCHKEY_SEED=\(Self.first), \(worlds) worlds in "
                + "\(spent), \(tally)")
        // A world in which nothing happens proves nothing.
        #expect(tally.lost > 0)
        #expect(tally.alone > 0)
        #expect(tally.held > 0)
        // Under the strict rule one is under way at a time.
        #expect(tally.mostLostAtOnce > (world == .strict ? 0 : 1))
        switch world {
        case .honest, .careless:
            #expect(tally.repeats > 0)
            #expect(tally.recoveries > 0)
        case .strict: #expect(tally.repeats + tally.recoveries == 0)
        case .stolen:
            #expect(tally.caught > 0)
            #expect(tally.lockstep > 0)
            #expect(tally.divided > 0)
        }
    }

    @Test(arguments: RefreshMutant.allCases)
    func `is not to be had in another way`(mutant: RefreshMutant) async {
        for world in RefreshSimulation.World.allCases {
            if await !Self.live(100_000, from: Self.firstOfMutants, in: world, mutant: mutant).failures.isEmpty {
                return
            }
        }
        Issue.record("nobody noticed \(mutant); LATCHKEY_SEED=\(Self.firstOfMutants)")
    }
}

extension RefreshSimulation.Tally {
    static func += (a: inout Self, b: Self) {
        a.refreshes += b.refreshes
        a.repeats += b.repeats
        a.recoveries += b.recoveries
        a.lost += b.lost
        a.unknown += b.unknown
        a.alone += b.alone
        a.steps += b.steps
        a.sleeps += b.sleeps
        a.pauses += b.pauses
        a.held += b.held
        a.deaths += b.deaths
        a.mostLostAtOnce = max(a.mostLostAtOnce, b.mostLostAtOnce)
        a.falseLogOuts += b.falseLogOuts
        a.caught += b.caught
        a.unseen += b.unseen
        a.lockstep += b.lockstep
        a.mostSteps = max(a.mostSteps, b.mostSteps)
        a.totalSteps += b.totalSteps
        a.divided += b.divided
    }
}
