import Postgres

@testable import Latchkey

/// The nodes' part, as `Sessions+Refresh.swift` has it: what a node does for a request, and what befalls all that are with
/// it when it stands still or dies.
extension RefreshSimulation {
    struct Node {
        /// It does nothing before; what comes meanwhile waits.
        var stillUntil: Int64 = 0
        /// Awake, and without proof of freshness.
        var staleUntil: Int64 = 0
        /// Nobody answers at its address.
        var deadUntil: Int64 = 0
    }

    /// What a node is told by its database.
    enum Reply {
        /// It is committed.
        case committed
        /// The group did not do it, or its fate is not known: it goes alone.
        case notDone
        /// Nothing can be said.
        case unknown
    }

    /// How long a node is fresh without a tick, and a transaction may stand idle before the server ends it.
    private var limit: Int64 { patience / 6 }

    /// Between a node and its database: at most a twelfth of what a client waits.
    mutating func hop() -> Int64 {
        Int64.random(in: 100...(chance(30) ? patience / 12 : 8_000), using: &random)
    }

    /// Where a load balancer sends it, and what befalls that node in the next moments.
    mutating func chooseNode() -> Int {
        let node = Int.random(in: nodes.indices, using: &random)
        // Mostly while this request is with it.
        let longest = chance(4) ? patience / 2 : 60_000
        if chance(40) { agenda.add(.freeze(node: node), at: time + Int64.random(in: 0...longest, using: &random)) }
        if chance(200) { agenda.add(.die(node: node), at: time + Int64.random(in: 0...longest, using: &random)) }
        return node
    }

    /// The node is not there, or does it later: whatever `event` is about waits until it goes on.
    private mutating func isAway(_ id: Int, _ event: Event) -> Bool {
        guard let request = requests[id], !request.isForgotten else { return true }
        let node = nodes[request.node]
        guard node.stillUntil > time else { return false }
        tally.held += 1
        agenda.add(event, at: node.stillUntil)
        return true
    }

    private func isStale(_ request: Request) -> Bool { nodes[request.node].staleUntil > time }

    private mutating func send(_ answer: Answer?, of id: Int) {
        requests[id]?.isOnNode = false
        if answer == nil { tally.unknown += 1 }
        if !isLost() { agenda.add(.answer(id, answer), at: time + latency()) }
    }

    mutating func arrive(_ id: Int) {
        guard let request = requests[id], !request.isForgotten else { return }
        // Refused by its machine, or swallowed.
        if nodes[request.node].deadUntil > time { return send(nil, of: id) }
        requests[id]?.isOnNode = true
        guard !isAway(id, .arrive(id)) else { return }
        guard !isStale(request) else { return send(nil, of: id) }
        agenda.add(.execute(id), at: time + hop())
    }

    /// The database has answered.
    mutating func hear(_ reply: Reply, for id: Int) {
        guard !isAway(id, .hear(id, reply)), let request = requests[id] else { return }
        switch reply {
        // Signed and answered however late: the token's times are those of the commit.
        case .committed: send(request.answer, of: id)
        case .notDone where isStale(request), .unknown: send(nil, of: id)
        case .notDone:
            tally.alone += 1
            requests[id]?.seenBefore = row
            agenda.add(.lock(id), at: time + hop())
        }
    }

    /// Under the lock, by what was read there.
    mutating func decide(_ id: Int) throws {
        guard let request = requests[id], holder == id else { return }
        let awake = nodes[request.node].stillUntil
        if awake > request.lockedAt + limit {
            // The server ends the transaction of a node that stands still for so long, which learns of it when it wakes.
            agenda.add(.rollBack(id), at: max(time, request.lockedAt + limit))
            return agenda.add(.hear(id, .unknown), at: awake)
        }
        guard !isAway(id, .decide(id)) else { return }
        try act(id)
        agenda.add(.commitAlone(id), at: time + hop())
    }

    // MARK: what befalls a node

    mutating func freeze(_ index: Int) {
        // Not again before what waited meanwhile is over.
        guard time - nodes[index].stillUntil > patience else { return }
        let pause = Int64.random(in: 0...patience / 3, using: &random)
        tally.pauses += 1
        nodes[index].stillUntil = time + pause
        // After too long it has no proof of freshness, and does nothing until its next tick.
        if pause > limit { nodes[index].staleUntil = time + pause + hop() }
    }

    /// What a node that dies has sent to its database: it arrives there whole, or not at all.
    enum Sent { case arrives, isLost }

    /// It forgets what it was asked.
    mutating func die(_ index: Int, _ sent: Sent) {
        guard nodes[index].deadUntil <= time else { return }
        tally.deaths += 1
        nodes[index] = Node(deadUntil: time + Int64.random(in: 0...2 * patience, using: &random))
        var lost = 0
        for id in requests.keys where requests[id]?.node == index && requests[id]?.isOnNode == true {
            requests[id]?.isForgotten = true
            if sent == .isLost { requests[id]?.isUnsent = true }
            lost += 1
        }
        tally.mostLostAtOnce = max(tally.mostLostAtOnce, lost)
        // A transaction that awaited its next statement is rolled back.
        if let holder, requests[holder]?.isForgotten == true, requests[holder]?.isCommitting == false { release() }
    }
}
