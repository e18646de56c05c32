import JOSE
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

/// From what was read to what it means, without a database.
@Suite struct VerdictTests {
    @Test(arguments: [
        (150_018, false, Finding.Level.ok), (150_000, false, .ok), (140_000, false, .warn), (170_002, false, .warn),
        (130_014, false, .fail), (150_018, true, .fail),
    ])
    func `The server's version`(number: Int64, isStandby: Bool, level: Finding.Level) {
        #expect(Verdicts.server(number: number, isStandby: isStandby).level == level)
    }

    @Test(arguments: [
        ("on", "on", "on", Finding.Level.ok), ("off", "on", "on", .fail), ("on", "off", "on", .fail),
        // Our own connections set it.
        ("on", "on", "off", .ok),
    ])
    func `Durability`(fsync: String, pages: String, commit: String, level: Finding.Level) {
        let found = Verdicts.durability(
            .init(fsync: fsync, fullPageWrites: pages, synchronousCommit: commit, synchronousStandbys: ""))
        #expect(found.level == level)
        #expect((found.advice == nil) == (level == .ok))
    }

    @Test(arguments: [
        (MigrationStatus.current, Finding.Level.ok, "current"), (.behind(missing: ["0007_x"]), .fail, "0007_x"),
        (.ahead(unknown: ["0099_y"]), .fail, "0099_y"), (.edited("0001_z"), .fail, "0001_z"),
    ])
    func `Migrations`(status: MigrationStatus, level: Finding.Level, word: String) {
        let found = Verdicts.migrations(status)
        #expect(found.level == level)
        #expect(found.text.contains(word))
    }

    @Test(arguments: [(0.0, Finding.Level.ok), (-1.999, .ok), (2, .warn), (-2, .warn), (3_600, .warn)])
    func `The clock`(seconds: Double, level: Finding.Level) {
        #expect(Verdicts.clock(ahead: seconds, error: 0.001).level == level)
    }

    private static func node(_ version: String = "1", keys: [Int16] = [1], age: Int64 = 300_000) -> Verdicts.NodeRow {
        .init(version: version, masterKeys: keys, age: age)
    }

    @Test(arguments: [
        ([node(), node()], Finding.Level.ok), ([], .warn), ([node(age: 2_000_000)], .warn),
        ([node(), node(age: 5_000_000)], .warn), ([node(), node(age: 30_000_000)], .ok), ([node(), node("2")], .warn),
        ([node(), node(keys: [1, 2])], .fail), ([node(keys: [2])], .fail), ([node(keys: [1, 2])], .fail),
        ([node(), node("2", keys: [9], age: 80_000_000_000)], .ok),
    ])
    func `The nodes`(rows: [Verdicts.NodeRow], level: Finding.Level) {
        #expect(Verdicts.nodes(rows, held: [1]).level == level)
    }

    @Test(arguments: [
        (ripe: 2, young: 0, active: 1, level: Finding.Level.ok), (1, 1, 1, .ok), (0, 2, 1, .warn), (0, 1, 1, .fail),
        (2, 0, 0, .fail), (0, 0, 0, .fail),
    ])
    func `The key schedule`(ripe: Int, young: Int, active: Int, level: Finding.Level) throws {
        var drawn = (0..<ripe).map { DrawnKey(kid: "ripe-\($0)", published: -3600) }
        drawn += (0..<young).map { DrawnKey(kid: "young-\($0)", published: -3599) }
        drawn += (0..<active).map { DrawnKey(kid: "active-\($0)", published: -9000, activates: -5000) }
        let keys = try drawn.map { try $0.key() }
        #expect(Verdicts.keySchedule(keys, lead: 3600, now: DrawnKey.now).level == level)
    }

    @Test(arguments: [
        // Standbys of ES256, and whether one of its keys signs: it has just come into use where none does.
        (2, true, Finding.Level.ok), (1, true, .fail), (0, true, .fail), (3, false, .ok), (0, false, .ok),
    ])
    func `The key schedule of a second algorithm`(standbys: Int, signs: Bool, level: Finding.Level) throws {
        var drawn = (0..<2).map { DrawnKey(kid: "rs-\($0)", published: -3600) }
        drawn.append(DrawnKey(kid: "rs", published: -9000, activates: -5000))
        drawn += (0..<standbys).map { DrawnKey(kid: "es-\($0)", published: -3600, algorithm: .es256) }
        if signs { drawn.append(DrawnKey(kid: "es", published: -9000, activates: -5000, algorithm: .es256)) }
        let keys = try drawn.map { try $0.key() }
        let finding = Verdicts.keySchedule(keys, lead: 3600, now: DrawnKey.now)
        #expect(finding.level == level)
        #expect(finding.text.contains("ES256") == (standbys > 0 || signs))
    }

    @Test func `A key that is still in its token`() throws {
        var keys = try [
            DrawnKey(kid: "a", published: -3600), DrawnKey(kid: "b", published: -3600),
            DrawnKey(kid: "signer", published: -9000, activates: -5000),
            DrawnKey(kid: "gone", published: -9000, activates: -8000, retires: -5000, removed: -4000, isSealed: false),
        ].map { try $0.key() }
        #expect(Verdicts.keySchedule(keys, lead: 3600, now: DrawnKey.now).level == .ok)
        keys[3].isLeftInToken = true
        let finding = Verdicts.keySchedule(keys, lead: 3600, now: DrawnKey.now)
        #expect(finding.level == .warn)
        #expect(finding.text.contains("1 that were wiped"))
    }

    @Test(arguments: [(0.01, Finding.Level.ok), (0.1, .warn), (nil, .fail)] as [(Double?, Finding.Level)])
    func `The feed`(roundTrip: Double?, level: Finding.Level) {
        #expect(Verdicts.feed(position: 7, age: 1_000_000, roundTrip: roundTrip).level == level)
    }

    @Test func `Ring, commits and connections`() {
        #expect(Verdicts.ring(used: 11, entries: 5, bytes: 5).level == .ok)
        #expect(Verdicts.ring(used: 12, entries: 5, bytes: 5).level == .warn)
        #expect(Verdicts.commits(perSecond: 100).level == .ok)
        #expect(Verdicts.commits(perSecond: 99).level == .warn)
        #expect(Verdicts.commits(perSecond: 0).level == .warn)
        #expect(Verdicts.connections(used: 79, maximum: 100, ofOneNode: 13).level == .ok)
        #expect(Verdicts.connections(used: 80, maximum: 100, ofOneNode: 13).level == .warn)
    }

    @Test(arguments: [
        (19_456, 2, true), (47_104, 1, true), (7_168, 5, true), (19_455, 2, false), (19_456, 1, false), (64, 1, false),
        (7_168, 4, false), (65_536, 3, true),
    ])
    func `What OWASP names as the least is strong enough, and less is not`(memory: Int, passes: Int, isEnough: Bool)
        throws
    {
        let parameters = try Argon2Parameters(memoryKiB: memory, iterations: passes, parallelism: 1)
        #expect(Argon2Rate.isStrongEnough(parameters) == isEnough)
        let found = Argon2Rate.verdict(parameters, seconds: 0.03, recommended: (.standard, 0.03))
        #expect(found.level == (isEnough ? .ok : .warn))
    }

    @Test(arguments: [
        // 100 ms ÷ 2 passes ÷ 500 ns a KiB = 100,000 KiB, in whole MiB.
        (500e-9, 1_000_000, 2, 99_328), (500e-9, 131_072, 2, 65_536), (500e-9, 131_072, 4, 32_768),
        // Slow, or short of memory: OWASP's least all the same.
        (5e-6, 1_000_000, 2, 19_456), (500e-9, 20_000, 2, 19_456), (0, 100_000_000, 1, 1_048_576),
    ])
    func `The recommended memory is what 100 ms and the budget allow`(
        secondsPerUnit: Double, budget: Int, cores: Int, memory: Int
    ) {
        let found = Argon2Rate.recommended(secondsPerUnit: secondsPerUnit, budgetKiB: budget, cores: cores)
        #expect(found.memoryKiB == memory)
        #expect(found.iterations == 2 && found.parallelism == 1)
    }

    @Test func `A hash that cannot be computed fails, and a slow one is warned of`() {
        #expect(Argon2Rate.verdict(.standard, seconds: nil, recommended: nil).level == .fail)
        #expect(Argon2Rate.verdict(.standard, seconds: 0.6, recommended: (.standard, 0.6)).level == .warn)
    }
}
