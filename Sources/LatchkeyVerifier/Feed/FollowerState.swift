/// What a follower knows of its own freshness, and what it believes: pure. Instants are readings of its clocks, handed
/// in.
///
/// No clock of a node and of a follower need agree. A request notes the follower's boot clock r0 and carries a nonce;
/// the message that echoes it tells the node's boot clock b1, and was made after r0. So the node's instant t lies at or
/// after r0 + (t - b1) on the follower's clock, and what is complete as of `as_of` is complete as of r0 + (as_of - b1).
/// A delay only makes it look older.
struct FollowerState: Sendable {
    /// How a message proves when it was made.
    enum Proof: Sendable, Equatable {
        /// By the nonce of the request.
        case nonce
        /// By its signed time against this machine's wall clock, which may be wrong by so many milliseconds.
        case wallClock(errorMilliseconds: Int64)
    }

    /// A question under way.
    struct Request: Sendable, Equatable {
        let nonce: String
        /// Read before the connection was made.
        let sentAt: ClockReading
    }

    /// What to do with a message that is believed.
    enum Receipt: Sendable, Equatable {
        /// Its ids are a set to be united with the present one.
        case wholeList(KeysOfWholeList)
        /// Its entries come on top.
        case changes(LiftsOfChanges)
    }

    enum LiftsOfChanges: Sendable, Equatable {
        case apply
        /// It is behind: a key that it lifts may since have been revoked once more, and that is known.
        case ignore
    }

    enum KeysOfWholeList: Sendable, Equatable {
        /// It is of the history that is known: its keys are the ones.
        case replace
        /// Of another history, or older than what is known: an id too many refuses a token, one too few accepts it.
        case unite
    }

    /// Whether the set may be relied on.
    enum Freshness: Sendable, Equatable {
        /// Complete as of so many nanoseconds ago.
        case fresh(age: Int64)
        /// Nil: it never was complete, or the clocks do not tell any more.
        case stale(age: Int64?)
    }

    private struct Anchor {
        let node: String
        let request: Request
        /// Milliseconds on the node's boot clock.
        let b1: Int64
    }

    /// Two clocks drift: of each thousandth of a span on the other clock it is not known on which side it lies.
    private static let driftPerMille: Int64 = 1
    /// Milliseconds that the wall clock may gain on the boot clock: NTP slews by 300 within an anchor's life.
    private static let largestGain: Int64 = 1000
    /// Nanoseconds for which an anchor holds.
    static let anchorLife = Duration.seconds(600).nanoseconds

    let proof: Proof
    /// Nanoseconds beyond which the set is stale.
    let limit: Int64
    private(set) var position: FeedPosition?
    /// The furthest that is in the set, in the latest epoch.
    private(set) var applied: FeedPosition?
    /// The latest `time` of what is in the set, in seconds.
    private var latestTime = Int64.min
    private var completeAsOf: Int64?
    private var anchor: Anchor?
    /// The smallest lead of the wall clock over the boot clock since the anchor or the first reading, in milliseconds.
    private var leastLead: Int64?
    /// This boot clock when the wall clock was found to have gained on it since the anchor. Kept until the next anchor: a
    /// wall clock that is stepped back after a pause would hide it.
    private var leaptAt: Int64?
    /// Milliseconds of the database's clock, and this boot clock at an instant that was not earlier.
    private var database: (time: Int64, boot: Int64)?
    /// Entries up to this expiry (seconds since 1970) may be gone.
    private var forgottenUpTo = Int64.min

    init(proof: Proof, limit: Int64) {
        self.proof = proof
        self.limit = limit
    }

    // MARK: messages

    /// Whether a message whose signature and entries were verified is to be believed, and how it is to be applied.
    ///
    /// - Parameter request: what it answers; nil for a later message of a stream.
    func judge(
        _ claims: FeedClaims, answering request: Request?, at now: ClockReading
    ) throws(FeedFault) -> Receipt {
        switch proof {
        case .nonce:
            if let request {
                guard claims.nonce == request.nonce else { throw .notForThisRequest }
                // Paused while it was under way: it may be as old as the pause is long.
                guard now.lead - request.sentAt.lead <= Self.largestGain, leaptAt ?? .min < request.sentAt.boot else {
                    throw .clockJumped
                }
            } else {
                guard claims.nonce == nil else { throw .notForThisRequest }
                guard !hasJumped(now) else { throw .clockJumped }
                guard let anchor, anchor.node == claims.node else { throw .otherNode }
            }
        case .wallClock(let error):
            guard claims.time * 1000 <= now.wall + error else { throw .fromTheFuture }
        }
        if let after = claims.after {
            guard let position, position.word.utf8.elementsEqual(after.utf8) else { throw .gap }
            return .changes(isBehind(claims) ? .ignore : .apply)
        }
        guard let applied else { return .wholeList(.replace) }
        let isNext = applied.epoch == claims.position.epoch && !isBehind(claims) && claims.time >= latestTime
        return .wholeList(isNext ? .replace : .unite)
    }

    /// Whether a message says less than is known: then it adds to the set, takes nothing away, and what is applied stays.
    ///
    /// Within an epoch the position tells. Two epochs are told apart by the database's clock: without that a genuine list
    /// of an epoch that has ended, brought twice, would be a new epoch first and then the known one, and take out the keys
    /// that were revoked since. Where the database's clock was set back with the epoch, what comes is added until it has
    /// passed the latest time.
    private func isBehind(_ claims: FeedClaims) -> Bool {
        guard let applied else { return false }
        guard applied.epoch == claims.position.epoch else { return claims.time <= latestTime }
        return claims.position.seq < applied.seq
    }

    /// The furthest that is in the set, as the issuer counts now. While a new epoch only adds (its clock is behind), that
    /// is where it stands; in one epoch a message that came late takes nothing back.
    var reached: FeedPosition? {
        guard let position, position.epoch != applied?.epoch else { return applied }
        return position
    }

    /// Whether what was revoked at `target` is in the set.
    func hasApplied(_ target: FeedPosition) -> Bool {
        [applied, position].contains { $0.map { $0.epoch == target.epoch && $0.seq >= target.seq } ?? false }
    }

    /// Called when what `judge` said of the message was done: position and claim move.
    mutating func didApply(_ claims: FeedClaims, answering request: Request?, at now: ClockReading) {
        position = claims.position
        if !isBehind(claims) { applied = claims.position }
        latestTime = max(latestTime, claims.time)
        let instant: Int64
        switch proof {
        case .nonce:
            if let request, leaptAt ?? .min >= request.sentAt.boot {
                // Paused while it was applied, as a verdict saw: it is older than the boot clock tells, and no anchor. The
                // jump stands until there is one.
                return
            }
            if let request { adopt(Anchor(node: claims.node, request: request, b1: claims.now), claims, now) }
            guard let anchor else { return }
            instant = min(Self.instant(claims.asOf, by: anchor), now.boot)
        case .wallClock(let error):
            // What was complete before a pause may be older than it looks.
            if hasJumped(now) { completeAsOf = nil }
            leastLead = now.lead
            leaptAt = nil
            // The database's clock goes on meanwhile, whatever is done to this wall clock.
            let present = max(now.wall, databaseTime(at: now) ?? now.wall)
            let age = max(0, present - claims.time * 1000) + error
            instant = now.boot - age * 1_000_000
        }
        if completeAsOf.map({ $0 < instant }) ?? true {
            completeAsOf = instant
            database = (claims.time * 1000, now.boot)
        }
        observe(now)
    }

    private mutating func adopt(_ new: Anchor, _ claims: FeedClaims, _ now: ClockReading) {
        let jumped = hasJumped(now)
        // What was complete before a pause may be older than it looks.
        if jumped { completeAsOf = nil }
        if let anchor, !jumped, anchor.node == new.node, !needsAnchor(now),
            Self.instant(claims.asOf, by: anchor) > Self.instant(claims.asOf, by: new)
        {
            // An answer that was held for long is an anchor with as much slack: the earlier one says more.
            return
        }
        anchor = new
        leastLead = new.request.sentAt.lead
        leaptAt = nil
    }

    /// Which instant of this boot clock a node's instant does not lie before.
    private static func instant(_ asOf: Int64, by anchor: Anchor) -> Int64 {
        let span = (asOf - anchor.b1) * 1_000_000
        return anchor.request.sentAt.boot + span - abs(span) / 1000 * driftPerMille
    }

    /// The issuer does not know the position: the next request asks for the whole list.
    mutating func forgetPosition() { position = nil }

    // MARK: clocks

    /// Whether a new anchor is due: it is ten minutes old, the wall clock has gained on the boot clock, or all that comes
    /// looks too old by it (the node's machine may have stood still).
    func needsAnchor(_ now: ClockReading) -> Bool {
        guard proof == .nonce else { return false }
        guard let anchor else { return true }
        let age = now.boot - anchor.request.sentAt.boot
        if age >= Self.anchorLife || hasJumped(now) { return true }
        if case .stale = freshness(now), age >= limit { return true }
        return false
    }

    private func hasJumped(_ now: ClockReading) -> Bool {
        leaptAt != nil || leastLead.map { now.lead - $0 > Self.largestGain } ?? false
    }

    /// Called at every reading, so that no step back hides a pause before or after it.
    mutating func observe(_ now: ClockReading) {
        guard let leastLead else {
            // Before the first anchor, too, a step back after a pause would hide it.
            self.leastLead = now.lead
            return
        }
        if now.lead - leastLead > Self.largestGain {
            leaptAt = now.boot
            self.leastLead = now.lead
        } else {
            self.leastLead = min(leastLead, now.lead)
        }
    }

    /// Called with every message that was verified, before it is judged.
    ///
    /// A node whose clock has gained on ours shows that this machine stood still, though neither of its own clocks knows
    /// (a virtual machine that was suspended and went on with the clocks it had): what was complete may be older than it
    /// looks, and so may be whatever was asked before.
    mutating func observe(_ claims: FeedClaims, _ now: ClockReading) {
        // Where a jump is known already, whatever is older than it counts for nothing anyway.
        guard proof == .nonce, !hasJumped(now), let anchor, anchor.node == claims.node,
            Self.instant(claims.asOf, by: anchor) > now.boot + Self.largestGain * 1_000_000
        else { return }
        self.anchor = nil
        completeAsOf = nil
        leaptAt = now.boot
    }

    func freshness(_ now: ClockReading) -> Freshness {
        guard let completeAsOf, !hasJumped(now) else { return .stale(age: nil) }
        let age = max(0, now.boot - completeAsOf)
        return age <= limit ? .fresh(age: age) : .stale(age: age)
    }

    /// The database's clock, in milliseconds, or what it has certainly passed.
    private func databaseTime(at now: ClockReading) -> Int64? {
        database.map { database in
            let span = max(0, now.boot - database.boot) / 1_000_000
            return database.time + span - span / 1000 * Self.driftPerMille
        }
    }

    /// The second by which a token's times are judged: the latest that any clock here tells. A token whose entry may
    /// have been forgotten is expired for ever, whatever is done to the wall clock.
    func second(_ now: ClockReading) -> Int64 {
        max(now.wall / 1000, (databaseTime(at: now) ?? .min) / 1000, forgottenUpTo)
    }

    /// Up to which expiry entries may be dropped now. The earlier of two clocks: one that was stepped forward would
    /// empty the set, and be put right again.
    mutating func forget(_ now: ClockReading) -> Int64? {
        guard let database = databaseTime(at: now) else { return nil }
        // A minute later, for who read the clocks a moment ago and asks the set a moment later.
        let second = min(database, now.wall) / 1000 - 60
        guard second > forgottenUpTo else { return nil }
        forgottenUpTo = second
        return second
    }
}

extension ClockReading {
    /// Milliseconds by which the wall clock is ahead of the boot clock.
    var lead: Int64 { wall - boot / 1_000_000 }
}
