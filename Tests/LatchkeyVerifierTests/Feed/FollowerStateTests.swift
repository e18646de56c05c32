import JOSE
import LatchkeyTesting
import LibCrypto
import Testing

@testable import LatchkeyVerifier

/// A follower, a node and a database with clocks of their own, in simulated time.
private struct World {
    static let limit = Duration.seconds(5).nanoseconds
    static let epoch = UniqueID.version7(millisecondsSince1970: 1, random: [UInt8](repeating: 1, count: 10))

    /// Milliseconds that have truly passed.
    var time: Int64 = 10_000_000
    var followerBoot: Int64 = 0
    var followerWall: Int64 = 1_700_000_000_000
    var nodeBoot: Int64 = 0
    var database: Int64 = 1_700_000_000_000
    var node = "node"
    var state = FollowerState(proof: .nonce, limit: limit)
    var seq: Int64 = 0

    var now: ClockReading { ClockReading(boot: (time + followerBoot) * 1_000_000, wall: time + followerWall) }

    static func position(_ seq: Int64, epoch: UniqueID = epoch) -> FeedPosition? {
        FeedPosition("\(epoch.text).\(seq).AAAAAAAAAAAAAAAA")
    }

    /// A message made now, complete as of `age` ms ago; `after` nil: the whole list.
    func message(
        age: Int64 = 200, after: Int64? = nil, seq: Int64? = nil, nonce: String? = nil, epoch: UniqueID = epoch
    ) throws -> FeedClaims {
        FeedClaims(
            position: try #require(Self.position(seq ?? self.seq, epoch: epoch)),
            after: try after.map { try #require(Self.position($0, epoch: epoch)).word },
            asOf: time + nodeBoot - age, now: time + nodeBoot, node: node, time: (time + database - age) / 1000,
            nonce: nonce, count: 0, digest: [])
    }

    /// What `state` makes of a message that arrives now.
    mutating func take(_ claims: FeedClaims, answering request: FollowerState.Request? = nil) throws {
        state.observe(claims, now)
        _ = try state.judge(claims, answering: request, at: now)
        state.didApply(claims, answering: request, at: now)
    }

    /// A request, `travel` ms each way, and its answer: the whole list.
    mutating func anchor(travel: Int64 = 10, nonce: String = "n1") throws {
        let request = FollowerState.Request(nonce: nonce, sentAt: now)
        time += travel
        let claims = try message(nonce: nonce)
        time += travel
        try take(claims, answering: request)
    }

    mutating func heartbeat(age: Int64 = 200) throws { try take(try message(age: age, after: seq)) }

    var age: Int64? {
        switch state.freshness(now) {
        case .fresh(let age): age / 1_000_000
        case .stale(let age): age.map { $0 / 1_000_000 }
        }
    }

    var isFresh: Bool { if case .fresh = state.freshness(now) { true } else { false } }
}

@Suite struct FollowerStates {
    private static let hour: Int64 = 3_600_000

    @Test func `a follower that heard nothing is stale`() {
        let world = World()
        #expect(world.state.freshness(world.now) == .stale(age: nil))
        #expect(world.state.needsAnchor(world.now))
    }

    @Test func `the set is complete as of the instant that the request's clock proves`() throws {
        var world = World()
        try world.anchor(travel: 10)
        // Complete as of 200 ms before the node answered, which was after the request was sent, 20 ms ago.
        #expect(world.age == 220)
        world.time += 1000
        #expect(world.age == 1220 && world.isFresh)
        try world.heartbeat(age: 100)
        // The answer's travel back is not known to have been short: it counts as age, and a thousandth of the span.
        #expect(world.age == 110)
        world.time += 5000
        #expect(!world.isFresh && world.age == 5110)
    }

    @Test("clocks that differ by hours prove the same", arguments: [-5, 0, 7] as [Int64], [-9, 0, 9] as [Int64])
    func differingClocks(boots: Int64, walls: Int64) throws {
        for (bootSide, wallSide) in [(true, true), (true, false), (false, true), (false, false)] {
            var world = World()
            if bootSide { world.followerBoot = boots * Self.hour } else { world.nodeBoot = boots * Self.hour }
            if wallSide { world.followerWall += walls * Self.hour } else { world.database += walls * Self.hour }
            try world.anchor()
            world.time += 1000
            try world.heartbeat()
            #expect(world.isFresh && world.age == 210)
            world.time += 5000
            #expect(!world.isFresh)
        }
    }

    @Test(
        "a message that is delayed makes the set look older, never fresher",
        arguments: [0, 1, 500, 4_000, 3_600_000] as [Int64])
    func delays(delay: Int64) throws {
        var world = World()
        try world.anchor()
        world.time += 1000
        let late = try world.message(after: 0)
        world.time += delay
        try world.take(late)
        #expect(try #require(world.age) >= 200 + delay)
        #expect(world.isFresh == (delay < 4_700))
    }

    @Test func `an answer that took long is an anchor with as much slack, and the earlier one says more`() throws {
        var world = World()
        try world.anchor()
        let request = FollowerState.Request(nonce: "held", sentAt: world.now)
        world.time += 2000
        try world.take(try world.message(age: 100, after: 0, nonce: "held"), answering: request)
        #expect(try #require(world.age) < 150)
        // Without an earlier one it looks 2 s older.
        var other = World()
        let first = FollowerState.Request(nonce: "held", sentAt: other.now)
        other.time += 2000
        try other.take(try other.message(age: 100, nonce: "held"), answering: first)
        #expect(other.age == 2100)
    }

    @Test func `only the answer to the request's nonce anchors`() throws {
        var world = World()
        let request = FollowerState.Request(nonce: "mine", sentAt: world.now)
        for nonce in [nil, "", "mine2", "min", "MINE"] {
            let claims = try world.message(nonce: nonce)
            #expect(throws: FeedFault.notForThisRequest) {
                try world.state.judge(claims, answering: request, at: world.now)
            }
        }
        #expect(!world.isFresh)
        try world.take(try world.message(nonce: "mine"), answering: request)
        #expect(world.isFresh)
        // An hour later the same answer, from a cache: its nonce is not that of the request.
        let replayed = try world.message(nonce: "mine")
        world.time += Self.hour
        let next = FollowerState.Request(nonce: "next", sentAt: world.now)
        #expect(throws: FeedFault.notForThisRequest) { try world.state.judge(replayed, answering: next, at: world.now) }
        // Nor is it a later message of a stream.
        #expect(throws: FeedFault.notForThisRequest) { try world.state.judge(replayed, answering: nil, at: world.now) }
    }

    @Test func `a message of another node's clock proves nothing`() throws {
        var world = World()
        try world.anchor()
        world.node = "another"
        world.nodeBoot = -Self.hour
        let claims = try world.message(after: 0)
        #expect(throws: FeedFault.otherNode) { try world.state.judge(claims, answering: nil, at: world.now) }
        // Behind a balancer the next poll may be answered by it: it anchors itself.
        try world.anchor(nonce: "n2")
        #expect(world.isFresh)
    }

    @Test func `a message that does not go on where the follower stands is a gap`() throws {
        var world = World()
        world.seq = 5
        try world.anchor()
        for after: Int64 in [4, 6, 0] {
            let claims = try world.message(after: after, seq: 7)
            #expect(throws: FeedFault.gap) { try world.state.judge(claims, answering: nil, at: world.now) }
        }
        let other = UniqueID.version7(millisecondsSince1970: 2, random: [UInt8](repeating: 2, count: 10))
        let foreign = try world.message(after: 5, seq: 7, epoch: other)
        #expect(throws: FeedFault.gap) { try world.state.judge(foreign, answering: nil, at: world.now) }
        try world.take(try world.message(after: 5, seq: 7))
        #expect(world.state.position?.seq == 7)
        // The same message again, replayed.
        let again = try world.message(after: 5, seq: 7)
        #expect(throws: FeedFault.gap) { try world.state.judge(again, answering: nil, at: world.now) }
    }

    @Test func `a heartbeat that is replayed moves no claim`() throws {
        var world = World()
        try world.anchor()
        let first = try world.message(after: 0)
        for _ in 0..<10 {
            world.time += 1000
            try world.take(first)
        }
        #expect(!world.isFresh && world.age == 10_210)
    }

    @Test func `a pause of the process ages the set`() throws {
        var world = World()
        try world.anchor()
        world.time += 60_000
        #expect(!world.isFresh)
        try world.heartbeat()
        #expect(world.isFresh)
    }

    @Test(
        "a pause that the boot clock does not know of shows on the wall clock, even one that was stepped back before",
        arguments: [0, 1, 5] as [Int64])
    func pausedMachine(steppedBack hours: Int64) throws {
        var world = World()
        try world.anchor()
        world.followerWall -= hours * Self.hour
        world.time += 1000
        try world.heartbeat()
        #expect(world.isFresh)
        // Ten minutes pass; this machine's boot clock stood still, its wall clock was put right.
        let waiting = try world.message(after: 0)
        world.time += 600_000
        world.followerBoot -= 600_000
        #expect(world.state.freshness(world.now) == .stale(age: nil))
        #expect(world.state.needsAnchor(world.now))
        // What waited in the socket all the time proves nothing now.
        #expect(throws: FeedFault.clockJumped) { try world.state.judge(waiting, answering: nil, at: world.now) }
        try world.anchor(nonce: "n2")
        #expect(world.isFresh && world.age == 220)
    }

    @Test func `a pause while an answer is under way is noticed`() throws {
        var world = World()
        let request = FollowerState.Request(nonce: "n", sentAt: world.now)
        let claims = try world.message(nonce: "n")
        world.time += 600_000
        world.followerBoot -= 600_000
        #expect(throws: FeedFault.clockJumped) { try world.state.judge(claims, answering: request, at: world.now) }
    }

    @Test func `a wall clock that is stepped back after a pause does not hide it`() throws {
        var world = World()
        try world.anchor()
        let late = FollowerState.Request(nonce: "n2", sentAt: world.now)
        world.time += 60_000
        world.followerBoot -= 60_000
        world.state.observe(world.now)
        world.followerWall -= Self.hour
        #expect(!world.isFresh && world.state.needsAnchor(world.now))
        let claims = try world.message(after: 0)
        #expect(throws: FeedFault.clockJumped) { try world.state.judge(claims, answering: nil, at: world.now) }
        let answer = try world.message(nonce: "n2")
        #expect(throws: FeedFault.clockJumped) { try world.state.judge(answer, answering: late, at: world.now) }
        world.time += 1
        try world.anchor(nonce: "n3")
        #expect(world.isFresh && world.age == 220)
    }

    @Test(
        "a pause while an answer is applied, which a verdict saw, is not forgotten with it", arguments: [true, false])
    func pausedWhileApplied(isAnchored: Bool) throws {
        var world = World()
        if isAnchored { try world.anchor() }
        world.state.observe(world.now)
        let request = FollowerState.Request(nonce: "n2", sentAt: world.now)
        let claims = try world.message(nonce: "n2")
        _ = try world.state.judge(claims, answering: request, at: world.now)
        world.time += Self.hour
        world.followerBoot -= Self.hour
        world.state.observe(world.now)
        world.followerWall -= Self.hour
        world.state.didApply(claims, answering: request, at: world.now)
        #expect(world.state.freshness(world.now) == .stale(age: nil) && world.state.needsAnchor(world.now))
        let later = try world.message(after: 0)
        #expect(throws: FeedFault.clockJumped) { try world.state.judge(later, answering: nil, at: world.now) }
        // A list of a node that is behind is as old as it says: what was complete before is forgotten.
        world.time += 1
        let next = FollowerState.Request(nonce: "n3", sentAt: world.now)
        try world.take(try world.message(age: 8000, after: 0, nonce: "n3"), answering: next)
        #expect(world.age == 8008 && !world.isFresh)
        try world.anchor(nonce: "n4")
        #expect(world.isFresh)
    }

    @Test func `a pause before the first anchor is not hidden by a wall clock that is stepped back`() throws {
        var world = World()
        world.state.observe(world.now)
        let request = FollowerState.Request(nonce: "n", sentAt: world.now)
        let claims = try world.message(nonce: "n")
        world.time += 60_000
        world.followerBoot -= 60_000
        world.state.observe(world.now)
        world.followerWall -= 60_000
        #expect(throws: FeedFault.clockJumped) { try world.take(claims, answering: request) }
        world.time += 1
        try world.anchor(nonce: "n2")
        #expect(world.isFresh)
    }

    @Test func `what was complete before a pause is not believed after it`() throws {
        var world = World()
        try world.anchor()
        world.time += 600_000
        world.followerBoot -= 600_000
        // The next answer comes from a node whose own list is old: the claim from before the pause must not hide it.
        let request = FollowerState.Request(nonce: "n2", sentAt: world.now)
        try world.take(try world.message(age: 8000, after: 0, nonce: "n2"), answering: request)
        #expect(world.age == 8008)
        #expect(!world.isFresh)
    }

    @Test("a wall clock stepped forward means stale until the next anchor", arguments: [2000, 3_600_000] as [Int64])
    func steppedForward(step: Int64) throws {
        var world = World()
        try world.anchor()
        world.followerWall += step
        #expect(!world.isFresh)
        try world.anchor(nonce: "n2")
        #expect(world.isFresh)
    }

    @Test(
        "one slewed by NTP within an anchor's life, or stepped back, does not",
        arguments: [900, -2000, -3_600_000] as [Int64])
    func slewed(step: Int64) throws {
        var world = World()
        try world.anchor()
        world.followerWall += step
        #expect(world.isFresh)
        try world.heartbeat()
        #expect(world.isFresh)
    }

    @Test func `an anchor holds for ten minutes`() throws {
        var world = World()
        try world.anchor()
        world.time += 599_000
        try world.heartbeat()
        #expect(!world.state.needsAnchor(world.now))
        world.time += 1000
        #expect(world.state.needsAnchor(world.now))
        try world.anchor(nonce: "n2")
        #expect(!world.state.needsAnchor(world.now))
    }

    @Test func `a node that stood still for a while, unknown to its clock, is asked for a new anchor`() throws {
        var world = World()
        try world.anchor()
        world.time += 20_000
        world.nodeBoot -= 20_000
        try world.heartbeat()
        #expect(!world.isFresh && world.state.needsAnchor(world.now))
        try world.anchor(nonce: "n2")
        #expect(world.isFresh && !world.state.needsAnchor(world.now))
    }

    @Test func `a node whose clock runs fast claims nothing that lies ahead`() throws {
        var world = World()
        try world.anchor()
        world.time += 1000
        world.nodeBoot += 900
        try world.heartbeat(age: 0)
        #expect(world.age == 0)
        world.time += 5001
        #expect(!world.isFresh)
    }

    @Test func `a machine that was suspended with both its clocks is stale from the node's next message on`() throws {
        var world = World()
        try world.anchor()
        let early = FollowerState.Request(nonce: "early", sentAt: world.now)
        world.time += Self.hour
        world.followerBoot -= Self.hour
        world.followerWall -= Self.hour
        // Nothing here can tell, until somebody else's clock does.
        #expect(world.isFresh && !world.state.needsAnchor(world.now))
        let claims = try world.message(after: 0)
        #expect(throws: FeedFault.clockJumped) { try world.take(claims) }
        #expect(world.state.freshness(world.now) == .stale(age: nil) && world.state.needsAnchor(world.now))
        // It was asked before the machine stood still: its answer may be as old as that.
        let answer = try world.message(nonce: "early")
        #expect(throws: FeedFault.clockJumped) { try world.take(answer, answering: early) }
        // An old list after it is as old as it says: what was claimed before is forgotten.
        world.time += 1
        let next = FollowerState.Request(nonce: "n2", sentAt: world.now)
        try world.take(try world.message(age: 8000, after: 0, nonce: "n2"), answering: next)
        #expect(world.age == 8008 && !world.isFresh)
        try world.anchor(nonce: "n3")
        #expect(world.isFresh)
    }

    @Test func `an answer to a poll shows it, too, and the next poll is believed`() throws {
        var world = World()
        try world.anchor()
        world.time += 60_000
        world.followerBoot -= 60_000
        world.followerWall -= 60_000
        let late = FollowerState.Request(nonce: "n2", sentAt: world.now)
        let claims = try world.message(after: 0, nonce: "n2")
        #expect(throws: FeedFault.clockJumped) { try world.take(claims, answering: late) }
        #expect(!world.isFresh)
        world.time += 1
        try world.anchor(nonce: "n3")
        #expect(world.isFresh)
    }

    @Test func `changes by a node that is behind lift no key`() throws {
        var world = World()
        world.seq = 5
        try world.anchor()
        world.state.forgetPosition()
        world.seq = 2
        try world.anchor(nonce: "n2")
        func receipt(seq: Int64) throws -> FollowerState.Receipt {
            try world.state.judge(try world.message(after: 2, seq: seq), answering: nil, at: world.now)
        }
        #expect(try receipt(seq: 4) == .changes(.ignore))
        #expect(try receipt(seq: 5) == .changes(.apply))
        #expect(try receipt(seq: 6) == .changes(.apply))
    }

    @Test func `a whole list replaces the keys of its own history only`() throws {
        var world = World()
        world.seq = 5
        let request = FollowerState.Request(nonce: "n", sentAt: world.now)
        func receipt(seq: Int64, epoch: UniqueID = World.epoch) throws -> FollowerState.Receipt {
            try world.state.judge(
                try world.message(seq: seq, nonce: "n", epoch: epoch), answering: request, at: world.now)
        }
        #expect(try receipt(seq: 5) == .wholeList(.replace))
        try world.take(try world.message(nonce: "n"), answering: request)
        world.state.forgetPosition()
        #expect(world.state.position == nil && world.state.applied?.seq == 5)
        #expect(try receipt(seq: 5) == .wholeList(.replace))
        #expect(try receipt(seq: 6) == .wholeList(.replace))
        #expect(try receipt(seq: 4) == .wholeList(.unite))
        let other = UniqueID.version7(millisecondsSince1970: 2, random: [UInt8](repeating: 2, count: 10))
        #expect(try receipt(seq: 9, epoch: other) == .wholeList(.unite))
        // By a node that is behind: the follower goes on from there, and has applied more.
        try world.take(try world.message(seq: 4, nonce: "n"), answering: request)
        #expect(world.state.position?.seq == 4 && world.state.applied?.seq == 5)
    }

    @Test func `entries are forgotten by the earlier of two clocks, and their tokens are expired for ever`() throws {
        var world = World()
        var forgotten = world.state.forget(world.now)
        #expect(forgotten == nil)
        try world.anchor()
        let second = (world.time + world.database) / 1000
        forgotten = world.state.forget(world.now)
        let first = try #require(forgotten)
        #expect(second - 62...second - 60 ~= first)
        // Either clock stepped forward by hours empties nothing.
        world.followerWall += 5 * Self.hour
        forgotten = world.state.forget(world.now)
        #expect(forgotten ?? first <= second - 59)
        world.followerWall -= 5 * Self.hour
        world.database += 5 * Self.hour
        try world.heartbeat()
        forgotten = world.state.forget(world.now)
        #expect(forgotten ?? first <= second - 59)
        // Stepped back, it judges no token alive whose entry may be gone.
        world.database -= 15 * Self.hour
        world.followerWall -= 15 * Self.hour
        world.time += 1000
        try world.heartbeat()
        forgotten = world.state.forget(world.now)
        #expect(forgotten == nil)
        #expect(world.state.second(world.now) >= first)
    }

    @Test func `a token's times are judged by the latest clock`() throws {
        var world = World()
        try world.anchor()
        let present = (world.time + world.database) / 1000
        #expect(present - 1...present ~= world.state.second(world.now))
        world.followerWall -= 5 * Self.hour
        #expect(present - 1...present ~= world.state.second(world.now))
        world.time += 100_000
        #expect(world.state.second(world.now) >= present + 98)
        world.followerWall += 10 * Self.hour
        #expect(world.state.second(world.now) >= present + 5 * 3600)
    }

    // MARK: mirrors

    private func mirrored() -> World {
        var world = World()
        world.state = FollowerState(proof: .wallClock(errorMilliseconds: 1000), limit: World.limit)
        return world
    }

    @Test func `through a mirror the signed time counts, less the clock's declared error`() throws {
        var world = mirrored()
        try world.take(try world.message(age: 500))
        #expect(1500...2500 ~= (world.age ?? 0))
        let kept = try world.message(age: 500)
        world.time += Self.hour
        try world.take(kept)
        #expect(!world.isFresh && (world.age ?? 0) >= Self.hour)
    }

    @Test func `a mirror's list from the future betrays a wrong clock`() throws {
        var world = mirrored()
        world.followerWall -= 3000
        let claims = try world.message(age: 0)
        #expect(throws: FeedFault.fromTheFuture) { try world.state.judge(claims, answering: nil, at: world.now) }
        #expect(!world.isFresh)
    }

    @Test func `a wall clock stepped back does not make a mirror's old list look fresh`() throws {
        var world = mirrored()
        try world.take(try world.message(age: 0))
        let kept = try world.message(age: 0)
        world.time += Self.hour
        world.followerWall -= Self.hour
        try world.take(kept)
        #expect(!world.isFresh)
    }

    @Test func `a machine paused as a whole is stale until the mirror's next list`() throws {
        var world = mirrored()
        try world.take(try world.message(age: 0))
        world.time += 600_000
        world.followerBoot -= 600_000
        #expect(!world.isFresh)
        try world.take(try world.message(age: 0))
        #expect(world.isFresh)
    }

    // MARK: whatever happens

    @Test(
        "no order of delays, pauses, replays, drifts and steps makes a set look fresher than it is",
        arguments: (1...40) as ClosedRange<UInt64>)
    func simulation(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        // Clocks that drift apart by less than a thousandth.
        let rates = (
            follower: Int64.random(in: -400...400, using: &random), node: Int64.random(in: -400...400, using: &random)
        )
        var time: Int64 = 1_000_000_000
        var pauses: [(begin: Int64, length: Int64)] = []
        var wallStep = Int64.random(in: -20...20, using: &random) * Self.hour
        func boot(_ instant: Int64) -> Int64 {
            let stood = pauses.reduce(0) { $0 + max(0, min(instant - $1.begin, $1.length)) }
            return (instant + instant * rates.follower / 1_000_000 - stood) * 1_000_000
        }
        func nodeBoot(_ time: Int64) -> Int64 { time + time * rates.node / 1_000_000 + 77 * Self.hour }
        func now() -> ClockReading { ClockReading(boot: boot(time), wall: 1_700_000_000_000 + time + wallStep) }

        var state = FollowerState(proof: .nonce, limit: World.limit)
        var known: [(claims: FeedClaims, asOf: Int64)] = []
        var request: (FollowerState.Request, made: (FeedClaims, asOf: Int64)?)?
        // The latest true instant that what was applied is complete as of.
        var truth = Int64.min
        var anchored = 0
        func message(nonce: String?) throws -> (FeedClaims, asOf: Int64) {
            let asOf = time - Int64.random(in: 0...900, using: &random)
            let word = try #require(World.position(0))
            return (
                FeedClaims(
                    position: word, after: nonce == nil || Bool.random(using: &random) ? word.word : nil,
                    asOf: nodeBoot(asOf), now: nodeBoot(time), node: "node", time: asOf / 1000, nonce: nonce, count: 0,
                    digest: []), asOf
            )
        }
        func deliver(_ it: (claims: FeedClaims, asOf: Int64), _ answering: FollowerState.Request?) {
            state.observe(it.claims, now())
            guard (try? state.judge(it.claims, answering: answering, at: now())) != nil else { return }
            state.didApply(it.claims, answering: answering, at: now())
            truth = max(truth, it.asOf)
            if answering != nil { anchored += 1 }
        }
        for step in 0..<4000 {
            time += Int64.random(in: 0...300, using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0: request = (FollowerState.Request(nonce: "\(step)", sentAt: now()), nil)
            case 1...3:
                if let under = request, under.made == nil {
                    request = (under.0, try message(nonce: under.0.nonce))
                }
            case 4...6:
                if let under = request, let made = under.made {
                    deliver(made, under.0)
                    request = nil
                }
            case 7: if let (asked, _) = request, let old = known.randomElement(using: &random) { deliver(old, asked) }
            case 8...20: known.append(try message(nonce: nil))
            case 21...35: if let any = known.suffix(5).randomElement(using: &random) { deliver(any, nil) }
            case 36: if let any = known.randomElement(using: &random) { deliver(any, nil) }
            case 37: if step % 7 == 0 { time += 20_000 }
            case 38:
                // The whole machine stands still, and its wall clock knows.
                let pause = Int64.random(in: 1500...20_000, using: &random)
                pauses.append((time, pause))
                time += pause
            default:
                // Stepped back and paused within one request: that nobody can see.
                if request == nil { wallStep += Int64.random(in: -3...1, using: &random) * 1_000_000 }
            }
            state.observe(now())
            if case .fresh(let age) = state.freshness(now()) {
                // The instant that it claims, on its own clock, is not later than what it has.
                guard boot(time) - age <= boot(truth) + 2_000_000 else {
                    Issue.record("step \(step): it claims \((boot(time) - age - boot(truth)) / 1_000_000) ms too much")
                    return
                }
            }
        }
        #expect(anchored > 20)
    }
}
