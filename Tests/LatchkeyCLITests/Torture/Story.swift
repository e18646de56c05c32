import JOSE

/// A history under construction. Milliseconds; account 0; node 0 where none is said; a grace of 10 s.
struct Story {
    var operations: [Operation] = []
    var record = Record()
    var stolen: Set<UniqueID> = []
    var isPatient = true

    /// Registered, and one session opened that lives.
    init() {
        record.accounts[0] = Record.Account()
        record.sessions[Self.sid] = Record.Session(generation: 1, confirmed: 0)
        add(.register(password: 0), 0, 1)
        add(.logIn(password: 0), 2, 3, handsOut: 1)
    }

    static let sid = UniqueID(high: 1, low: 1)
    static let other = UniqueID(high: 2, low: 2)

    /// The access token that comes with that refresh token.
    static func token(_ generation: UInt32, of sid: UniqueID = sid) -> UniqueID {
        UniqueID(high: sid.high, low: 1_000 + UInt64(generation))
    }

    mutating func add(
        _ kind: Operation.Kind, _ start: Int64, _ end: Int64, _ outcome: Operation.Outcome = .ok, node: Int = 0,
        handsOut generation: UInt32? = nil, of sid: UniqueID = sid, signer: String = "a",
        token tokenID: UniqueID? = nil, keyID: String? = nil
    ) {
        let minted = generation.map {
            Operation.Minted(
                sid: sid, tokenID: Self.token($0, of: sid), generation: $0, expiresAt: start + 1000, signer: signer)
        }
        operations.append(
            Operation(
                account: 0, kind: kind, node: node, start: start * 1_000_000, end: end * 1_000_000,
                outcome: outcome,
                minted: minted, tokenID: tokenID, keyID: keyID))
    }

    mutating func refresh(
        _ presented: UInt32, _ start: Int64, _ end: Int64, handsOut generation: UInt32, of sid: UniqueID = sid
    ) {
        add(.refresh(sid, generation: presented), start, end, handsOut: generation, of: sid)
    }

    /// The row as it is handed out last; ended, where there is a cause.
    mutating func row(_ generation: Int64, _ confirmed: Int64, ended cause: String? = nil, of sid: UniqueID = sid) {
        record.sessions[sid] = Record.Session(
            generation: generation, confirmed: confirmed, endCause: cause, listedUntil: cause.map { _ in 1_000_000 }
        )
    }

    var broken: Set<HistoryCheck.Rule> {
        let check = HistoryCheck(
            operations: operations.sorted { $0.end < $1.end }, record: record, stolen: stolen,
            patient: isPatient ? [0] : [], grace: 10_000_000_000)
        return Set(check.violations().map(\.rule))
    }
}
