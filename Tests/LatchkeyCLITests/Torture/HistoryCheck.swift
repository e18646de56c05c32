import JOSE

/// What the database holds when the run is over.
struct Record: Sendable {
    struct Session: Sendable {
        var generation: Int64
        var confirmed: Int64
        /// nil: it lives.
        var endCause: String?
        /// When its entry on the revocation list expires, NumericDate; nil: it is not listed.
        var listedUntil: Int64?
    }

    /// How often the audit log tells of each.
    struct Account: Sendable {
        var registrations: Int64 = 1
        var passwordChanges: Int64 = 0
        var disables: Int64 = 0
        var enables: Int64 = 0
    }

    var sessions: [UniqueID: Session] = [:]
    var accounts: [Int: Account] = [:]
    /// By their `jti`: when the entry on the revocation list expires, NumericDate.
    var revokedTokens: [UniqueID: Int64] = [:]
    /// Keys that sign or have signed.
    var signers: Set<String> = []
    /// Sessions that live and were born before their account's last change of password, and before one of its disablings.
    var survivorsOfChanges: Set<UniqueID> = []
    var survivorsOfDisables: Set<UniqueID> = []
    /// Sessions whose last token was minted later than they ended, by the database's own clock: no client's answer needed.
    var mintedAfterEnd: Set<UniqueID> = []
}

/// Judges a history against what is promised. Pure. It looks only at what is certain: an operation of unknown outcome may
/// have happened at any time from its start on, or never.
struct HistoryCheck: Sendable {
    /// What is promised, and was broken.
    enum Rule: String, Sendable, CaseIterable {
        case oneLiveLeaf = "one generation has two predecessors, or a void token was taken"
        case noWayBack = "an older generation was handed out after a newer one"
        case noMintAfterEnd = "tokens were minted after the session's end was acknowledged"
        case noAdmissionAfterEnd = "an access token was admitted after the session's end was acknowledged"
        case noLostEnd = "an acknowledged end is not in the database"
        case listed = "an ended session is not on the list for as long as its tokens live"
        case noAdmissionAfterRevoke = "an access token was admitted after its revocation was acknowledged"
        case revokedListed = "the list does not hold a revoked access token until it expires, or holds one by itself"
        case refusedForAReason = "a token of a living session was refused"
        case endedForAReason = "a session ended that nobody and nothing ended"
        case rowIsAsHandedOut = "the session's row is not what was handed out last"
        case noSurvivor = "a session lives that a change of password or a disabling should have ended"
        case noLostSession = "an acknowledged login is not in the database"
        case noOldPassword = "a password worked that an acknowledged change had replaced, or that was never set"
        case rightPasswordWorks = "the right password of an active account was refused"
        case disabledIsOut = "an account got in after its disabling was acknowledged"
        case noLostRegistration = "an acknowledged registration is not in the database, or twice in the audit log"
        case nobodyElseTakesTheName = "a name that nobody had was refused as taken"
        case auditTellsAll = "the audit log holds more or fewer of an account's changes than happened"
        case noLostRotation = "an acknowledged rotation is not in the database"
        case oneSigner = "two keys signed in turns"
        case noAbsurdity = "an answer that nobody should get"
    }

    struct Violation: Sendable, CustomStringConvertible {
        let rule: Rule
        let operations: [Operation]
        var note = ""

        var description: String {
            "\(rule.rawValue) \(note)" + operations.map { "\n    \($0)" }.joined()
        }
    }

    /// A node may admit another node's revoked token for so long: then it has no proof of freshness any more.
    static let followed: Int64 = 2_000_000_000
    /// By how much the effect of an operation of unknown outcome may come after its client has given up.
    static let late: Int64 = 15_000_000_000

    let operations: [Operation]
    let record: Record
    /// Sessions whose tokens a second store holds.
    var stolen: Set<UniqueID> = []
    /// Accounts whose clients keep every rule of `docs/refresh.md`: none of theirs may be taken for a thief.
    var patient: Set<Int> = []
    /// Nanoseconds: for so long a token gets the same successor again.
    var grace: Int64

    func violations() -> [Violation] {
        var found: [Violation] = []
        for operation in operations {
            if case .absurd = operation.outcome { found.append(Violation(rule: .noAbsurdity, operations: [operation])) }
        }
        let byAccount = Dictionary(grouping: operations, by: \.account)
        for (number, own) in byAccount.sorted(by: { $0.key < $1.key }) {
            let account = AccountHistory(number: number, operations: own)
            found += violations(of: account)
            for (sid, ofSession) in Dictionary(grouping: own.filter { $0.sid != nil }, by: \.sid) {
                guard let sid else { continue }
                found += violations(of: SessionHistory(sid: sid, operations: ofSession, account: account))
            }
        }
        return found + survivors() + mintedAfterEnd() + violationsOfKeys() + straysOnTheList()
    }

    private func mintedAfterEnd() -> [Violation] {
        record.mintedAfterEnd.map { sid in
            Violation(rule: .noMintAfterEnd, operations: operations.filter { $0.sid == sid }, note: sid.text)
        }
    }

    private func survivors() -> [Violation] {
        let kept = operations.compactMap { operation in
            if case .changePassword(_, let kept) = operation.kind, operation.mayHaveHappened { kept } else { nil }
        }
        return record.survivorsOfChanges.subtracting(kept).union(record.survivorsOfDisables).map { sid in
            Violation(rule: .noSurvivor, operations: operations.filter { $0.sid == sid }, note: sid.text)
        }
    }

    private func violationsOfKeys() -> [Violation] {
        var found = operations.filter { operation in
            operation.keyID.map { operation.outcome == .ok && !record.signers.contains($0) } ?? false
        }.map { Violation(rule: .noLostRotation, operations: [$0]) }

        // Each key signs from one instant to another. `iat` does not tell which: where a node was held up between the
        // statement and the signature, a token from before a rotation is signed by the key from behind it.
        let byKey = Dictionary(grouping: operations.filter { $0.minted != nil }, by: \.minted?.signer)
        let spans = byKey.values.compactMap { own -> (firstDone: Operation, lastBegun: Operation)? in
            guard let first = own.min(by: { $0.end < $1.end }), let last = own.max(by: { $0.start < $1.start }) else {
                return nil
            }
            return (first, last)
        }
        for (index, one) in spans.enumerated() {
            for other in spans[(index + 1)...]
            where one.lastBegun.start > other.firstDone.end && other.lastBegun.start > one.firstDone.end {
                found.append(
                    Violation(
                        rule: .oneSigner,
                        operations: [one.firstDone, other.firstDone, one.lastBegun, other.lastBegun]))
            }
        }
        return found
    }
}

/// What was done with one account, by its clients and by the administrator.
struct AccountHistory: Sendable {
    let number: Int
    let operations: [Operation]
    let changes: [Operation]
    let disables: [Operation]
    let enables: [Operation]

    init(number: Int, operations: [Operation]) {
        self.number = number
        self.operations = operations
        changes = operations.filter { if case .changePassword = $0.kind { true } else { false } }
        disables = operations.filter { $0.kind == .disable }
        enables = operations.filter { $0.kind == .enable }
    }

    /// Whether the account may have been enabled again after `disable` and before `moment`.
    func mayBeEnabled(after disable: Operation, before moment: Int64) -> Bool {
        enables.contains { enable in
            let last = enable.outcome == .unknown ? enable.end + HistoryCheck.late : enable.end
            return enable.mayHaveHappened && enable.start < moment && last > disable.start
        }
    }
}

/// What was done with one session.
struct SessionHistory: Sendable {
    let sid: UniqueID
    let operations: [Operation]
    let account: AccountHistory

    /// Every operation whose acknowledgement says that this session has ended.
    var acknowledgedEnds: [Operation] {
        var ends = operations.filter { operation in
            switch operation.kind {
            case .revoke, .logOut: operation.outcome == .ok
            default: false
            }
        }
        guard let birth = operations.first(where: { $0.minted != nil && $0.isLogIn }),
            case .logIn(let password) = birth.kind
        else { return ends }
        ends += account.changes.filter { change in
            // Born under an earlier password is born before the change, whenever it was answered.
            guard case .changePassword(let next, let kept) = change.kind else { return false }
            return change.outcome == .ok && kept != sid && password < next
        }
        ends += account.disables.filter { disable in
            disable.outcome == .ok && birth.start < disable.end
                && (birth.end < disable.start || !account.mayBeEnabled(after: disable, before: birth.end))
        }
        return ends
    }

    /// The first refusal of a refresh token. Every token is genuine and its own client presents it: whatever ended the
    /// session, known to anybody or not, it had ended by then.
    var firstRefusal: Operation? {
        operations.filter { $0.isRefresh && $0.isRefused }.min { $0.end < $1.end }
    }

    /// Before that instant nothing can have ended the session by `cause`; nil: nothing explains the cause.
    func earliestEnd(by cause: String, stolen: Bool, patient: Bool) -> Int64? {
        var causes: [Operation]
        switch cause {
        case "revoked": causes = operations.filter { $0.kind == .revoke(sid) }
        case "logged-out": causes = operations.filter { $0.kind == .logOut(sid) }
        case "user-disabled": causes = account.disables
        case "password-changed":
            causes = account.changes.filter { change in
                guard case .changePassword(_, let kept) = change.kind else { return false }
                return kept != sid
            }
        case "refresh-token-reused":
            // Whoever stole it may have shown a void token at any time.
            if stolen { return .min }
            // Who refreshes again at once may be overtaken by a request of his that he took for lost.
            causes = patient ? [] : operations.filter { $0.isRefresh && $0.outcome == .unknown }
        default: return nil
        }
        // What was over before the session was born has not ended it.
        let birth = operations.first { $0.isLogIn }?.start ?? .min
        causes.removeAll { !$0.mayHaveHappened || ($0.outcome == .ok ? $0.end : $0.end + HistoryCheck.late) < birth }
        return causes.map(\.start).min()
    }

    /// Whether that access token may have been revoked by itself before `moment`.
    func mayBeRevoked(_ tokenID: UniqueID?, before moment: Int64) -> Bool {
        operations.contains {
            $0.kind == .revokeAccess(sid) && $0.mayHaveHappened && $0.tokenID == tokenID && $0.start < moment
        }
    }
}

extension Operation {
    var isLogIn: Bool { if case .logIn = kind { true } else { false } }
    var isRefresh: Bool { if case .refresh = kind { true } else { false } }
    var isUse: Bool { if case .use = kind { true } else { false } }
}
