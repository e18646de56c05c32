/// Histories in which one thing is wrong.
extension HistoryCheckTests {
    static let brokenStories = [
        Case("two presentations of one token got different successors that both were used", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(1, 11, 19, handsOut: 3)
            $0.refresh(2, 30, 40, handsOut: 4)
            $0.row(4, 2)
        },
        Case("two tokens got the same successor", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 3)
            $0.refresh(2, 11, 19, handsOut: 3)
            $0.row(3, 2)
        },
        Case("a token got itself", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 1)
            $0.row(1, 1)
        },
        Case("a token from before the last used one worked", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.refresh(3, 50, 60, handsOut: 4)
            $0.refresh(1, 70, 80, handsOut: 5)
            $0.row(5, 1)
        },
        Case("a token got another successor within the grace", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(1, 9_000, 10_009, handsOut: 3)
            $0.row(3, 1)
        },
        Case("a token got another successor after a repetition, and within the grace", .oneLiveLeaf) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(1, 5_000, 5_010, handsOut: 2)
            $0.refresh(1, 9_000, 9_010, handsOut: 3)
            $0.refresh(1, 9_020, 9_030, handsOut: 3)
            $0.row(3, 1)
        },
        Case("an older token was handed out after a newer one", .noWayBack) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.refresh(1, 50, 60, handsOut: 2)
            $0.row(3, 2)
        },
        Case("a refresh worked after the revoke", .noMintAfterEnd) {
            $0.add(.revoke(sid), 10, 20)
            $0.refresh(1, 21, 30, handsOut: 2)
            $0.row(2, 1, ended: "revoked")
        },
        Case("a refresh worked after logging out", .noMintAfterEnd) {
            $0.add(.logOut(sid), 10, 20)
            $0.refresh(1, 21, 30, handsOut: 2)
            $0.row(2, 1, ended: "logged-out")
        },
        Case("a refresh worked after the password was changed elsewhere", .noMintAfterEnd) {
            $0.add(.logIn(password: 0), 4, 5, handsOut: 1, of: other)
            $0.add(.changePassword(to: 1, keeping: other), 10, 20)
            $0.refresh(1, 21, 30, handsOut: 2)
            $0.row(2, 1, ended: "password-changed")
            $0.row(1, 0, of: other)
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("a refresh worked after a thief's was refused", .noMintAfterEnd) {
            $0.stolen = [sid]
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.add(.refresh(sid, generation: 1), 50, 60, .refused(400))
            $0.refresh(3, 61, 70, handsOut: 4)
            $0.row(4, 3, ended: "refresh-token-reused")
        },
        Case("a refresh worked that nobody had an answer to after the end", .noMintAfterEnd) {
            $0.add(.revoke(sid), 10, 20)
            $0.row(2, 1, ended: "revoked")
            $0.record.mintedAfterEnd = [sid]
        },
        Case("the node that refused a thief admits for too long", .noAdmissionAfterEnd) {
            $0.stolen = [sid]
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.add(.refresh(sid, generation: 1), 50, 60, .refused(400))
            $0.add(.use(sid), 2_061, 2_070, token: Story.token(3))
            $0.row(3, 2, ended: "refresh-token-reused")
        },
        Case("the node that revoked admits", .noAdmissionAfterEnd) {
            $0.add(.revoke(sid), 10, 20)
            $0.add(.use(sid), 21, 22)
            $0.row(1, 0, ended: "revoked")
        },
        Case("another node admits for too long", .noAdmissionAfterEnd) {
            $0.add(.revoke(sid), 10, 20)
            $0.add(.use(sid), 2_021, 2_022, node: 1)
            $0.row(1, 0, ended: "revoked")
        },
        Case("a revoke is lost", .noLostEnd) { $0.add(.revoke(sid), 10, 20) },
        Case("a disabling left a session of before", .noLostEnd) {
            $0.add(.disable, 10, 20)
            $0.record.accounts[0]?.disables = 1
        },
        Case("an ended session is not listed", .listed) {
            $0.add(.revoke(sid), 10, 20)
            $0.row(1, 0, ended: "revoked")
            $0.record.sessions[sid]?.listedUntil = nil
        },
        Case("an ended session is listed too shortly", .listed) {
            $0.add(.revoke(sid), 10, 20)
            $0.row(1, 0, ended: "revoked")
            $0.record.sessions[sid]?.listedUntil = 1001
        },
        Case("a refresh is refused, and the session lives", .refusedForAReason) {
            $0.add(.refresh(sid, generation: 1), 10, 20, .refused(400))
        },
        Case("an access token is refused, and the session lives", .refusedForAReason) {
            $0.add(.use(sid), 10, 20, .refused(401))
        },
        Case("a refresh is refused, and the account disabled later", .refusedForAReason) {
            $0.add(.refresh(sid, generation: 1), 10, 20, .refused(400))
            $0.add(.disable, 50, 60)
            $0.row(1, 0, ended: "user-disabled")
            $0.record.accounts[0]?.disables = 1
        },
        Case("an access token is refused, and the session revoked later", .refusedForAReason) {
            $0.add(.use(sid), 10, 20, .refused(401))
            $0.add(.revoke(sid), 50, 60)
            $0.row(1, 0, ended: "revoked")
        },
        Case("logging out is refused, and the password changed elsewhere later", .refusedForAReason) {
            $0.add(.logIn(password: 0), 4, 5, handsOut: 1, of: other)
            $0.add(.logOut(sid), 10, 20, .refused(401))
            $0.add(.changePassword(to: 1, keeping: other), 50, 60)
            $0.row(1, 0, ended: "password-changed")
            $0.row(1, 0, of: other)
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("a refresh is refused between a disabling of before its birth and another", .refusedForAReason) {
            $0.add(.disable, 10, 20)
            $0.add(.enable, 30, 40)
            $0.add(.logIn(password: 0), 50, 60, handsOut: 1, of: other)
            $0.add(.refresh(other, generation: 1), 70, 80, .refused(400))
            $0.add(.disable, 90, 100)
            $0.row(1, 0, ended: "user-disabled")
            $0.row(1, 0, ended: "user-disabled", of: other)
            $0.record.accounts[0] = Record.Account(disables: 2, enables: 1)
        },
        Case("a stolen session is refused that nobody took for stolen", .refusedForAReason) {
            $0.stolen = [sid]
            $0.add(.refresh(sid, generation: 1), 10, 20, .refused(400))
            $0.add(.disable, 50, 60)
            $0.row(1, 0, ended: "user-disabled")
            $0.record.accounts[0]?.disables = 1
        },
        Case("an eager client is refused before anything could overtake it", .refusedForAReason) {
            $0.isPatient = false
            $0.add(.refresh(sid, generation: 1), 10, 20, .refused(400))
            $0.add(.refresh(sid, generation: 1), 30, 40, .unknown)
            $0.row(2, 1, ended: "refresh-token-reused")
        },
        Case("an access token is refused, and revoked later", .refusedForAReason) {
            $0.add(.use(sid), 10, 20, .refused(401), token: Story.token(1))
            $0.add(.revokeAccess(sid), 50, 60, token: Story.token(1))
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("an access token is refused for another one's revocation", .refusedForAReason) {
            $0.refresh(1, 4, 5, handsOut: 2)
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.add(.use(sid), 30, 40, .refused(401), token: Story.token(2))
            $0.row(2, 1)
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("a refresh is refused for an access token's revocation", .refusedForAReason) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.add(.refresh(sid, generation: 1), 30, 40, .refused(400))
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("the node that revoked an access token admits it", .noAdmissionAfterRevoke) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.add(.use(sid), 21, 22, token: Story.token(1))
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("another node admits a revoked access token for too long", .noAdmissionAfterRevoke) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.add(.use(sid), 2_021, 2_022, node: 1, token: Story.token(1))
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("an access token's revocation is lost", .revokedListed) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
        },
        Case("a revoked access token is listed too shortly", .revokedListed) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.record.revokedTokens[Story.token(1)] = 1001
        },
        Case("an access token is listed that nobody revoked", .revokedListed) {
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("a session ended by a disabling of before its birth", .endedForAReason) {
            $0.add(.disable, 10, 20)
            $0.add(.enable, 30, 40)
            $0.add(.logIn(password: 0), 50, 60, handsOut: 1, of: other)
            $0.row(1, 0, ended: "user-disabled")
            $0.row(1, 0, ended: "user-disabled", of: other)
            $0.record.accounts[0] = Record.Account(disables: 1, enables: 1)
        },
        Case("a patient client is taken for a thief", .endedForAReason) {
            $0.add(.refresh(sid, generation: 1), 10, 20, .unknown)
            $0.row(2, 1, ended: "refresh-token-reused")
        },
        Case("an eager client is taken for a thief though every answer came", .endedForAReason) {
            $0.isPatient = false
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.row(2, 1, ended: "refresh-token-reused")
        },
        Case("a session is revoked that nobody revoked", .endedForAReason) { $0.row(1, 0, ended: "revoked") },
        Case("history is lost", .endedForAReason) {
            $0.stolen = [sid]
            $0.row(1, 0, ended: "history-lost")
        },
        Case("the kept session ends with the others", .endedForAReason) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20)
            $0.row(1, 0, ended: "password-changed")
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("what was handed out is not in the row", .rowIsAsHandedOut) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.row(1, 0)
        },
        Case("the row confirms another token", .rowIsAsHandedOut) {
            $0.refresh(1, 10, 20, handsOut: 3)
            $0.row(3, 2)
        },
        Case("a session has no row", .noLostSession) { $0.record.sessions = [:] },
        Case("a session survives that nobody heard of", .noSurvivor) { $0.record.survivorsOfDisables = [other] },
        Case("a session survives a change that did not keep it", .noSurvivor) {
            $0.record.survivorsOfChanges = [other]
        },
        Case("the old password works after the change", .noOldPassword) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20)
            $0.add(.logIn(password: 0), 21, 30, handsOut: 1, of: other)
            $0.row(1, 0, ended: "password-changed", of: other)
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("a password works before it is set", .noOldPassword) {
            $0.add(.logIn(password: 1), 10, 20, handsOut: 1, of: other)
            $0.row(1, 0, of: other)
        },
        Case("a refused change took effect", .noOldPassword) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20, .refused(401))
            $0.add(.logIn(password: 1), 30, 40, handsOut: 1, of: other)
            $0.row(1, 0, of: other)
        },
        Case("the right password is refused", .rightPasswordWorks) {
            $0.add(.logIn(password: 0), 10, 20, .refused(401))
        },
        Case("an acknowledged change is lost", .rightPasswordWorks) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20)
            $0.add(.logIn(password: 1), 30, 40, .refused(401))
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("the enabled account is refused", .rightPasswordWorks) {
            $0.add(.disable, 10, 20)
            $0.add(.enable, 30, 40)
            $0.add(.logIn(password: 0), 50, 60, .refused(401))
            $0.row(1, 0, ended: "user-disabled")
            $0.record.accounts[0] = Record.Account(disables: 1, enables: 1)
        },
        Case("the disabled account logs in", .disabledIsOut) {
            $0.row(1, 0, ended: "user-disabled")
            $0.add(.disable, 10, 20)
            $0.add(.logIn(password: 0), 30, 40, handsOut: 1, of: other)
            $0.add(.enable, 50, 60)
            $0.row(1, 0, ended: "user-disabled", of: other)
            $0.record.accounts[0] = Record.Account(disables: 1, enables: 1)
        },
        Case("a registration is lost", .noLostRegistration) { $0.record.accounts = [:] },
        Case("a registration is told twice", .noLostRegistration) { $0.record.accounts[0]?.registrations = 2 },
        Case("a registration is half made", .noLostRegistration) { $0.record.accounts[0]?.registrations = 0 },
        Case("one name is given twice", .noLostRegistration) { $0.add(.register(password: 0), 10, 20) },
        Case("a free name is refused", .nobodyElseTakesTheName) {
            $0.operations.removeAll()
            $0.record = Record()
            $0.add(.register(password: 0), 0, 1, .refused(409))
        },
        Case("a change has no audit row", .auditTellsAll) { $0.add(.changePassword(to: 1, keeping: sid), 10, 20) },
        Case("a refused change has one", .auditTellsAll) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20, .refused(401))
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("a rotation is lost", .noLostRotation) { $0.add(.rotate, 10, 20, keyID: "b") },
        Case("two keys sign in turns", .oneSigner) {
            $0.add(.refresh(sid, generation: 1), 10, 20, handsOut: 2, signer: "b")
            $0.add(.refresh(sid, generation: 2), 30, 40, handsOut: 3, signer: "a")
            $0.row(3, 2)
        },
        Case("a 500", .noAbsurdity) { $0.add(.use(sid), 10, 20, .absurd("500")) },
    ]
}
