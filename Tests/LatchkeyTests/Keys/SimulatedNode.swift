import LibCrypto
import Postgres

@testable import Latchkey

struct SimulatedNode {
    enum Condition: Equatable {
        case up
        /// Serves, and reaches no database.
        case cut(until: Int64)
        /// Stopped, with all that it holds in memory.
        case paused(until: Int64)
        case down(until: Int64)
    }

    let id: Int
    let policy: KeyPolicy
    let algorithm: SignatureAlgorithm
    let started: Int64
    var condition = Condition.up
    var ring: [SigningKey] = []
    var version: Int64 = -1
    var inForce: SettingsInForce
    /// True times: of the last tick, and of the reading that confirmed the ring.
    var ticked: Int64?
    var confirmed: Int64?
    var steady = SteadyClock()
    /// A minting statement whose answer it has, and has not signed yet.
    var unsigned: Statement?

    struct Statement {
        let issuedAt: Instant
        let version: Int64
        let minted: Int64
        /// Who signs it by that version of the ring: whatever the node, it is this one.
        let signer: String?
    }

    var own: SettingsInForce {
        SettingsInForce(
            accessToken: policy.lifetime, publishLead: policy.publishLead, maxAge: policy.maxAge,
            leeway: policy.leeway, failover: "lossy", algorithms: [algorithm.rawValue])
    }

    /// Every machine's boot clock began at another time.
    func boot(_ time: Int64) -> BootInstant { BootInstant(nanoseconds: (time + Int64(id) * 977_000_000) * 1000) }
}

struct SimulatedVerifier {
    /// `stubborn` keeps keys for ten minutes whatever it is told, and fetches from no node that has been cut off from the
    /// database for so long that its JWKS may lack a key which signs within them.
    enum Kind { case obeys, stubborn, refetches }
    /// Whether its wall clock is stepped with the database's, as where one source sets both, or never is.
    enum WallClock { case own, databases }

    let kind: Kind
    let wall: WallClock
    var kids: Set<String> = []
    /// True time up to which it keeps them.
    var until: Int64 = -1

    static let stubbornly: Int64 = 600
}

extension KeySimulation {
    /// Settings from the allowed range, as `SettingsReader` allows them.
    private mutating func drawPolicy() -> KeyPolicy {
        let leeway = Int64.random(in: 0...(chance(8) ? 600 : 36), using: &random)
        let maxAge = Int64.random(in: 1...(chance(3) ? (chance(4) ? 86_400 : 900) : 60), using: &random)
        let lifetime = Int64.random(in: 1...(chance(3) ? 3600 : 300), using: &random)
        let shortest = max(maxAge, hasStubborn ? SimulatedVerifier.stubbornly : 0) + leeway + 2
        let lead = shortest + (chance(3) ? 0 : Int64.random(in: 0...1800, using: &random))
        var policy = KeyPolicy(publishLead: lead, maxAge: maxAge, leeway: leeway, lifetime: lifetime)
        policy.rotationInterval = policy.shortestInterval * (chance(4) ? 1 : Int64.random(in: 1...40, using: &random))
        return policy
    }

    mutating func start() throws {
        lastNode += 1
        let policy = drawPolicy()
        let algorithm: SignatureAlgorithm = chance(6) ? .es256 : .rs256
        nodes.append(
            SimulatedNode(id: lastNode, policy: policy, algorithm: algorithm, started: time, inForce: settings))
    }

    func sample(_ node: SimulatedNode, latency: Int64 = 0) -> SteadyClock.Sample {
        SteadyClock.Sample(
            raw: raw, reading: clock, begun: node.boot(time - latency), ended: node.boot(time + latency / 7))
    }

    /// As `NodeTick` and `KeyRing` do it.
    mutating func tick(_ index: Int) throws {
        var node = nodes[index]
        func write(_ simulation: inout KeySimulation) {
            let carried = node.steady.reading(at: node.boot(simulation.time))?.now
            let seen = max(simulation.clock.now, carried ?? simulation.clock.now)
            simulation.ticks[node.id] = Tick(seen: seen, step: node.steady.step, settings: node.own)
        }
        write(&self)
        let latency = Int64.random(in: 0...(chance(20) ? 1_900_000 : 20_000), using: &random)
        if !settings.covers(node.own) { settings = settings.widened(by: node.own) }
        let step = node.steady.take(sample(node, latency: latency), settling: settings.settling)
        if step != nil { write(&self) }
        node.inForce = inForce
        if node.version < version { (node.ring, node.version) = (keys, version) }
        node.ticked = time
        node.confirmed = time
        nodes[index] = node
    }

    /// As `SigningKeys.carryOutDue`.
    mutating func keepSchedule(_ index: Int) throws {
        let node = nodes[index]
        guard held == nil, time - node.started >= 2_000_000, node.steady.agrees(with: sample(node)) else { return }
        let inForce = inForce
        let algorithms = inForce.algorithmsInUse
        let steps = KeySchedule.due(
            keys, algorithms: algorithms, policy: node.policy.widened(by: inForce), clock: clock)
        if !steps.isEmpty { try carryOut(steps, now: clock.now) }
        guard held == nil else { return }
        for algorithm in algorithms {
            let standing = keys.filter { $0.isStandby && $0.algorithm == algorithm && $0.isInJWKS(at: clock.now) }
            guard standing.count >= KeySchedule.standbys else {
                throw failure("\(standing.count) standbys of \(algorithm) stand in the JWKS")
            }
        }
    }

    mutating func rotateByHand(_ index: Int) throws {
        let node = nodes[index]
        guard held == nil, node.steady.agrees(with: sample(node)),
            let signer = KeySchedule.signer(keys, at: clock.now, preferring: node.algorithm)
        else { return }
        let policy = node.policy.widened(by: inForce)
        guard
            case .rotate(let from, let to, let at) = KeySchedule.rotation(
                keys, from: signer.kid, policy: policy, clock: clock)
        else { return }
        try carryOut([.rotate(from: from, to: to, at: at), .publish(signer.algorithm)], now: clock.now)
    }

    /// As `RevocationList.narrow`.
    mutating func narrow() { settings = settings.narrowed(to: recent) }

    /// A minting statement, and as `TokenIssuer` signs what it returned.
    mutating func mint(_ index: Int) throws {
        guard let ticked = nodes[index].ticked, time - ticked < 2_000_000 else { return }
        let instant = max(raw, nodes[index].steady.largest ?? raw)
        nodes[index].unsigned = SimulatedNode.Statement(
            issuedAt: raw, version: version, minted: time,
            signer: KeySchedule.signer(keys, at: instant, preferring: nodes[index].algorithm)?.kid)
        if chance(60) {
            // Frozen between commit and signature.
            nodes[index].condition = .paused(until: time + Int64.random(in: 0...1_200_000_000, using: &random))
            tally.late += 1
        } else {
            try sign(index)
        }
    }

    mutating func sign(_ index: Int) throws {
        var node = nodes[index]
        guard let statement = node.unsigned else { return }
        let (issuedAt, minted) = (statement.issuedAt, statement.minted)
        node.unsigned = nil
        if node.version < statement.version { (node.ring, node.version) = (keys, version) }
        nodes[index] = node
        let instant = max(issuedAt, node.steady.largest ?? issuedAt)
        guard let signer = KeySchedule.signer(node.ring, at: instant, preferring: node.algorithm) else {
            throw failure("nobody signs for node \(node.id) of version \(node.version)")
        }
        guard node.version > statement.version || signer.kid == statement.signer else {
            throw failure(
                "\(signer.kid) signs for node \(node.id), and \(statement.signer ?? "nobody") by the database")
        }
        let active = node.ring.filter { $0.algorithm == signer.algorithm && $0.state(at: instant) == .active }
        guard active.count <= 1 else { throw failure("\(active.map(\.kid)) sign at once") }
        // Frozen for so long that the token is dead already, it may find its key gone, and answers 503.
        if time - minted >= node.policy.lifetime * 1_000_000, signer.sealed == nil { return }
        guard signer.sealed != nil, signer.isInJWKS(at: instant) else {
            throw failure("\(signer.kid) signs, and is gone")
        }
        // Signed late by a ring in which the key was whole: it leaked meanwhile, and the list refuses its tokens.
        guard keys.contains(where: { $0.kid == signer.kid && $0.compromisedAt == nil }) else { return }
        tokens.append(
            Token(
                kid: signer.kid, issuedAt: issuedAt, minted: minted, lives: node.policy.lifetime * 1_000_000,
                leeway: node.policy.leeway * 1_000_000))
        tally.minted += 1
    }
}
