import JOSE

/// Access tokens that were revoked by themselves, while their session goes on.
extension HistoryCheck {
    func revocations(of session: SessionHistory) -> [Violation] {
        var found: [Violation] = []
        for revoke in session.operations where revoke.kind == .revokeAccess(session.sid) && revoke.outcome == .ok {
            for use in session.operations where use.isUse && use.outcome == .ok && use.tokenID == revoke.tokenID {
                let limit = use.node == revoke.node ? revoke.end : revoke.end + Self.followed
                if use.start > limit {
                    found.append(Violation(rule: .noAdmissionAfterRevoke, operations: [revoke, use]))
                }
            }
            // Tokens outlive the run: one that has expired would need no entry.
            let token = session.operations.first { $0.minted?.tokenID == revoke.tokenID }?.minted
            let listed = revoke.tokenID.flatMap { record.revokedTokens[$0] }
            if listed ?? .min < token?.expiresAt ?? 0 {
                found.append(
                    Violation(
                        rule: .revokedListed, operations: [revoke],
                        note: "until \(listed.map { "\($0)" } ?? "never") of \(token?.expiresAt ?? 0)"))
            }
        }
        return found
    }

    func straysOnTheList() -> [Violation] {
        var asked: Set<UniqueID> = []
        for operation in operations where operation.mayHaveHappened {
            if case .revokeAccess = operation.kind, let token = operation.tokenID { asked.insert(token) }
        }
        return Set(record.revokedTokens.keys).subtracting(asked).map {
            Violation(rule: .revokedListed, operations: [], note: $0.text)
        }
    }
}
