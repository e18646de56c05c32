/// Histories in which nothing is wrong.
extension HistoryCheckTests {
    static let soundStories = [
        Case("a login", nil) { _ in },
        Case("two tabs get the same, then both go on", nil) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(1, 11, 19, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.row(3, 2)
        },
        Case("a recovery voids the successor that was never used", nil) {
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(1, 30_000, 30_010, handsOut: 3)
            $0.refresh(3, 60_000, 60_010, handsOut: 4)
            $0.row(4, 3)
        },
        Case("a recovery comes soon after an answer, for the first presentation's was lost", nil) {
            $0.add(.refresh(sid, generation: 1), 10, 20, .unknown)
            $0.refresh(1, 9_000, 9_010, handsOut: 2)
            $0.refresh(1, 10_020, 10_030, handsOut: 3)
            $0.row(3, 1)
        },
        Case("an answer lost, and what it advanced is seen by the next", nil) {
            $0.add(.refresh(sid, generation: 1), 10, 20, .unknown)
            $0.refresh(1, 30, 40, handsOut: 2)
            $0.row(2, 1)
        },
        Case("a refresh that overlaps the revoke is before it", nil) {
            $0.add(.revoke(sid), 10, 20)
            $0.refresh(1, 15, 30, handsOut: 2)
            $0.row(2, 1, ended: "revoked")
        },
        Case("another node admits for a moment", nil) {
            $0.add(.revoke(sid), 10, 20)
            $0.add(.use(sid), 1_000, 1_010, node: 1)
            $0.row(1, 0, ended: "revoked")
        },
        Case("a revoke of unknown outcome ends the session, or not", nil) {
            $0.add(.revoke(sid), 10, 20, .unknown)
            $0.add(.refresh(sid, generation: 1), 30, 40, .refused(400))
            $0.row(1, 0, ended: "revoked")
        },
        Case("a thief is caught", nil) {
            $0.stolen = [sid]
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.add(.refresh(sid, generation: 1), 50, 60, .refused(400))
            $0.row(3, 2, ended: "refresh-token-reused")
        },
        Case("a thief is caught while the owner is served, and every node admits for a moment", nil) {
            $0.stolen = [sid]
            $0.refresh(1, 10, 20, handsOut: 2)
            $0.refresh(2, 30, 40, handsOut: 3)
            $0.add(.refresh(sid, generation: 1), 50, 60, .refused(400))
            $0.refresh(3, 55, 70, handsOut: 4)
            $0.add(.use(sid), 2_050, 2_070, token: Story.token(3))
            $0.row(4, 3, ended: "refresh-token-reused")
        },
        Case("an eager client is overtaken by a request of its own", nil) {
            $0.isPatient = false
            $0.add(.refresh(sid, generation: 1), 10, 20, .unknown)
            $0.refresh(1, 30, 40, handsOut: 2)
            $0.refresh(2, 50, 60, handsOut: 3)
            $0.row(3, 2, ended: "refresh-token-reused")
        },
        Case("a changed password ends the others", nil) {
            $0.add(.logIn(password: 0), 4, 5, handsOut: 1, of: other)
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20)
            $0.add(.logIn(password: 0), 30, 40, .refused(401))
            $0.row(1, 0, ended: "password-changed", of: other)
            $0.record.accounts[0]?.passwordChanges = 1
            $0.record.survivorsOfChanges = [sid]
        },
        Case("a change of unknown outcome leaves either password", nil) {
            $0.add(.changePassword(to: 1, keeping: sid), 10, 20, .unknown)
            $0.add(.logIn(password: 0), 30, 40, .refused(401))
            $0.add(.logIn(password: 1), 50, 60, handsOut: 1, of: other)
            $0.row(1, 0, of: other)
            $0.record.accounts[0]?.passwordChanges = 1
        },
        Case("a disabled account is refused until it is enabled", nil) {
            $0.add(.disable, 10, 20)
            $0.add(.logIn(password: 0), 30, 40, .refused(401))
            $0.add(.enable, 50, 60)
            $0.add(.logIn(password: 0), 55, 70, handsOut: 1, of: other)
            $0.row(1, 0, ended: "user-disabled")
            $0.row(1, 0, of: other)
            $0.record.accounts[0] = Record.Account(disables: 1, enables: 1)
        },
        Case("a refresh is refused while the account is being disabled", nil) {
            $0.add(.disable, 10, 60)
            $0.add(.refresh(sid, generation: 1), 11, 20, .refused(400))
            $0.row(1, 0, ended: "user-disabled")
            $0.record.accounts[0]?.disables = 1
        },
        Case("a refresh is refused after a disabling that nobody confirmed", nil) {
            $0.add(.disable, 10, 20, .unknown)
            $0.add(.refresh(sid, generation: 1), 30, 40, .refused(400))
            $0.row(1, 0, ended: "user-disabled")
            $0.record.accounts[0]?.disables = 1
        },
        Case("an eager client is refused after it was overtaken, and disabled later", nil) {
            $0.isPatient = false
            $0.add(.refresh(sid, generation: 1), 10, 20, .unknown)
            $0.add(.refresh(sid, generation: 1), 30, 40, .refused(400))
            $0.add(.disable, 50, 60)
            $0.row(3, 2, ended: "refresh-token-reused")
            $0.record.accounts[0]?.disables = 1
        },
        Case("a disabling of unknown outcome comes true after the next login", nil) {
            $0.add(.disable, 4, 5, .unknown)
            $0.add(.logIn(password: 0), 10, 20, handsOut: 1, of: other)
            $0.add(.refresh(other, generation: 1), 30, 40, .refused(400))
            $0.row(1, 0, ended: "user-disabled")
            $0.row(1, 0, ended: "user-disabled", of: other)
            $0.record.accounts[0]?.disables = 1
        },
        Case("an access token is revoked, and its session goes on", nil) {
            $0.add(.revokeAccess(sid), 10, 20, token: Story.token(1))
            $0.add(.use(sid), 1_000, 1_010, node: 1, token: Story.token(1))
            $0.add(.use(sid), 2_030, 2_040, .refused(401), token: Story.token(1))
            $0.add(.logOut(sid), 2_050, 2_060, .refused(401), token: Story.token(1))
            $0.refresh(1, 2_070, 2_080, handsOut: 2)
            $0.add(.use(sid), 2_090, 2_100, token: Story.token(2))
            $0.row(2, 1)
            $0.record.revokedTokens[Story.token(1)] = 1_000_000
        },
        Case("a revocation of unknown outcome stands on the list, or not", nil) {
            $0.add(.revokeAccess(sid), 10, 20, .unknown, token: Story.token(1))
            $0.add(.use(sid), 30, 40, .refused(401), token: Story.token(1))
            $0.add(.use(sid), 50, 60, node: 1, token: Story.token(1))
        },
        Case("a rotation takes over", nil) {
            $0.add(.rotate, 10, 20, keyID: "b")
            $0.record.signers = ["a", "b"]
            $0.add(.refresh(sid, generation: 1), 30, 40, handsOut: 2, signer: "b")
            $0.row(2, 1)
        },
        Case("a token of a statement before a rotation is signed behind it, where the node was frozen between", nil) {
            $0.add(.refresh(sid, generation: 1), 10, 50, handsOut: 2, signer: "b")
            $0.row(2, 1)
            $0.add(.logIn(password: 0), 30, 40, handsOut: 1, of: other)
            $0.row(1, 0, of: other)
            $0.record.signers = ["a", "b"]
        },
    ]
}
