extension HistoryCheck {
    func violations(of account: AccountHistory) -> [Violation] {
        var found = registrations(of: account) + audited(account)
        for operation in account.operations where operation.isLogIn {
            switch operation.outcome {
            case .ok: found += admitted(operation, to: account)
            case .refused: found += refused(operation, by: account)
            case .unknown, .absurd: continue
            }
        }
        for operation in account.operations where operation.isRefresh && operation.outcome == .ok {
            found += disabled(account, before: operation)
        }
        return found
    }

    /// What may have made the password of that number the account's.
    private func setters(of password: Int, in account: AccountHistory) -> [Operation] {
        account.operations.filter { operation in
            switch operation.kind {
            case .register(let number): number == password
            case .changePassword(let number, _): number == password
            default: false
            }
        }
    }

    /// Acknowledged or not, what may have replaced it. Passwords are numbered as they are tried.
    private func replacements(of password: Int, in account: AccountHistory) -> [Operation] {
        account.changes.filter { change in
            guard case .changePassword(let number, _) = change.kind else { return false }
            return number > password && change.mayHaveHappened
        }
    }

    private func disabled(_ account: AccountHistory, before operation: Operation) -> [Violation] {
        // What excuses the last of them excuses the earlier ones.
        let last = account.disables.filter { $0.outcome == .ok && $0.end < operation.start }.max { $0.start < $1.start }
        guard let last, !account.mayBeEnabled(after: last, before: operation.end) else { return [] }
        return [Violation(rule: .disabledIsOut, operations: [last, operation])]
    }

    private func admitted(_ login: Operation, to account: AccountHistory) -> [Violation] {
        guard case .logIn(let password) = login.kind else { return [] }
        var found = disabled(account, before: login)
        let replaced = replacements(of: password, in: account).filter { $0.outcome == .ok && $0.end < login.start }
        let wasSet = setters(of: password, in: account).contains { $0.mayHaveHappened && $0.start < login.end }
        if !replaced.isEmpty || !wasSet {
            found.append(Violation(rule: .noOldPassword, operations: replaced + [login]))
        }
        return found
    }

    private func refused(_ login: Operation, by account: AccountHistory) -> [Violation] {
        guard case .logIn(let password) = login.kind else { return [] }
        let wasSet = setters(of: password, in: account).contains { $0.outcome == .ok && $0.end < login.start }
        let mayBeReplaced = replacements(of: password, in: account).contains { $0.start < login.end }
        let mayBeDisabled = account.disables.contains { disable in
            guard disable.mayHaveHappened, disable.start < login.end else { return false }
            let last = disable.outcome == .unknown ? disable.end + Self.late : disable.end
            return !account.enables.contains { $0.outcome == .ok && $0.start > last && $0.end < login.start }
        }
        guard wasSet, !mayBeReplaced, !mayBeDisabled else { return [] }
        return [Violation(rule: .rightPasswordWorks, operations: [login])]
    }

    private func registrations(of account: AccountHistory) -> [Violation] {
        let attempts = account.operations.filter { if case .register = $0.kind { true } else { false } }
        var found: [Violation] = []
        let row = record.accounts[account.number]
        let isLost = attempts.contains { $0.outcome == .ok } && row == nil
        if isLost || row.map({ $0.registrations != 1 }) ?? false || attempts.count(where: { $0.outcome == .ok }) > 1 {
            found.append(Violation(rule: .noLostRegistration, operations: attempts))
        }
        for refused in attempts where refused.isRefused {
            let isTaken = attempts.contains { $0.mayHaveHappened && $0.start < refused.end }
            if !isTaken { found.append(Violation(rule: .nobodyElseTakesTheName, operations: [refused])) }
        }
        return found
    }

    /// All or nothing: as many rows as were acknowledged, and no more than may have happened.
    private func audited(_ account: AccountHistory) -> [Violation] {
        guard let row = record.accounts[account.number] else { return [] }
        let kinds = [
            (account.changes, row.passwordChanges), (account.disables, row.disables), (account.enables, row.enables),
        ]
        return kinds.compactMap { attempts, told in
            let certain = attempts.count { $0.outcome == .ok }
            let possible = attempts.count(where: \.mayHaveHappened)
            guard told < certain || told > possible else { return nil }
            return Violation(rule: .auditTellsAll, operations: attempts, note: "\(told) rows")
        }
    }
}
