extension HistoryCheck {
    func violations(of session: SessionHistory) -> [Violation] {
        successions(of: session) + ends(of: session) + revocations(of: session) + rows(of: session)
    }

    /// What was handed out for what. A session has one state at a time, (newest, last used), and the newest only grows:
    /// so each generation has been handed out for one predecessor, the predecessors never go down, and one that goes up
    /// is a generation that was the newest until then.
    private func successions(of session: SessionHistory) -> [Violation] {
        struct Step {
            let presented: UInt32
            let handedOut: UInt32
            let operation: Operation
        }
        var found: [Violation] = []
        let steps = session.operations.compactMap { operation -> Step? in
            guard operation.outcome == .ok, let minted = operation.minted else { return nil }
            switch operation.kind {
            case .refresh(_, let generation):
                return Step(presented: generation, handedOut: minted.generation, operation: operation)
            case .logIn: return Step(presented: 0, handedOut: minted.generation, operation: operation)
            default: return nil
            }
        }
        let inTurn = steps.sorted { ($0.handedOut, $0.presented) < ($1.handedOut, $1.presented) }
        for (one, next) in zip(inTurn, inTurn.dropFirst()) {
            let isSound =
                one.handedOut == next.handedOut
                ? one.presented == next.presented
                : one.presented == next.presented || next.presented >= one.handedOut
            if !isSound || next.presented >= next.handedOut {
                found.append(Violation(rule: .oneLiveLeaf, operations: [one.operation, next.operation]))
            }
        }
        // Another successor only after the grace, which begins no sooner than the token can have been taken first.
        for (presented, own) in Dictionary(grouping: steps, by: \.presented) {
            guard let one = own.min(by: { $0.handedOut < $1.handedOut }),
                let other = own.filter({ $0.handedOut > one.handedOut }).min(by: { $0.operation.end < $1.operation.end }
                ),
                let first = session.operations.filter({
                    $0.kind == .refresh(session.sid, generation: presented) && $0.mayHaveHappened
                }).map(\.start).min()
            else { continue }
            if other.operation.end - first < grace {
                found.append(Violation(rule: .oneLiveLeaf, operations: [one.operation, other.operation]))
            }
        }
        // In time: whoever asked after a newer one had been answered must not get an older one.
        let byEnd = steps.sorted { $0.operation.end < $1.operation.end }
        var answered = byEnd.startIndex
        var newest: Step?
        for step in steps.sorted(by: { $0.operation.start < $1.operation.start }) {
            while answered < byEnd.endIndex, byEnd[answered].operation.end < step.operation.start {
                if byEnd[answered].handedOut > newest?.handedOut ?? 0 { newest = byEnd[answered] }
                answered += 1
            }
            if let newest, newest.handedOut > step.handedOut {
                found.append(Violation(rule: .noWayBack, operations: [newest.operation, step.operation]))
            }
        }
        return found
    }

    private func ends(of session: SessionHistory) -> [Violation] {
        var found: [Violation] = []
        for end in session.acknowledgedEnds {
            found += successes(
                of: session, after: end, admittedUntil: { $0 == end.node ? end.end : end.end + Self.followed })
            if let row = record.sessions[session.sid], row.endCause == nil {
                found.append(Violation(rule: .noLostEnd, operations: [end]))
            }
        }
        if let refusal = session.firstRefusal {
            // Another node may have ended it: the one that refused follows the list as all do.
            found += successes(of: session, after: refusal, admittedUntil: { _ in refusal.end + Self.followed })
        }
        return found
    }

    /// - Parameter limit: until when a node may admit the session's access tokens.
    private func successes(
        of session: SessionHistory, after end: Operation, admittedUntil limit: (_ node: Int) -> Int64
    ) -> [Violation] {
        session.operations.filter { $0.outcome == .ok }.compactMap { operation in
            if operation.isRefresh, operation.start > end.end {
                return Violation(rule: .noMintAfterEnd, operations: [end, operation])
            }
            if operation.isUse, operation.start > limit(operation.node) {
                return Violation(rule: .noAdmissionAfterEnd, operations: [end, operation])
            }
            return nil
        }
    }

    private func rows(of session: SessionHistory) -> [Violation] {
        let minted = session.operations.filter { $0.minted != nil }
        guard let row = record.sessions[session.sid] else {
            return [Violation(rule: .noLostSession, operations: Array(minted.prefix(1)))]
        }
        var found: [Violation] = []
        if let last = minted.max(by: { $0.minted?.generation ?? 0 < $1.minted?.generation ?? 0 }),
            let generation = last.minted?.generation
        {
            var isSound = row.generation >= Int64(generation)
            if case .refresh(_, let presented) = last.kind, row.generation == Int64(generation) {
                isSound = row.confirmed == Int64(presented)
            }
            if !isSound {
                found.append(
                    Violation(rule: .rowIsAsHandedOut, operations: [last], note: "\(row.confirmed), \(row.generation)"))
            }
        }
        guard let cause = row.endCause else { return found + refusals(of: session, before: .max) }
        // A session ends once, and by one cause: before that can have been, it lived, whatever came later.
        if let end = session.earliestEnd(
            by: cause, stolen: stolen.contains(session.sid), patient: patient.contains(session.account.number))
        {
            found += refusals(of: session, before: end)
        } else {
            found.append(Violation(rule: .endedForAReason, operations: session.operations, note: cause))
        }
        let lives = minted.compactMap(\.minted?.expiresAt).max() ?? 0
        if row.listedUntil ?? .min < lives {
            found.append(
                Violation(
                    rule: .listed, operations: minted,
                    note: "until \(row.listedUntil.map { "\($0)" } ?? "never") of \(lives)"))
        }
        return found
    }

    /// A token is refused when its session has ended; an access token also when it was itself revoked.
    private func refusals(of session: SessionHistory, before end: Int64) -> [Violation] {
        let refused = session.operations.filter { operation in
            guard operation.isRefused, operation.end < end else { return false }
            switch operation.kind {
            case .refresh: return true
            case .use, .logOut: return !session.mayBeRevoked(operation.tokenID, before: operation.end)
            default: return false
            }
        }
        return refused.isEmpty ? [] : [Violation(rule: .refusedForAReason, operations: refused)]
    }
}
