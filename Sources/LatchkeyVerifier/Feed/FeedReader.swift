/// Reads messages as they come in, verifies each, and hands it to the set.
struct FeedReader: Sendable {
    static let binaryType = "application/vnd.latchkey.revocations"

    let verifier: FeedVerifier
    let revocations: FollowedSet
    let clocks: Clocks
    let metrics: VerifierMetrics
    /// How long a stream may say nothing: octets that make up no event say nothing.
    let silence: Duration
    /// Within which an answer, and the first message of a stream, is here to its end, however it drips. A second more for
    /// each 64 KiB of it, as a node gives who reads: long lists come over slow links, too.
    var patience = Duration.seconds(30)

    /// One message in its binary form.
    func readMessage(
        _ pieces: IssuerClient.Pieces, answering request: FollowerState.Request
    ) async throws {
        var parser = BinaryMessageParser()
        var deadline = ContinuousClock.now + patience
        for try await piece in pieces {
            try Self.expect(piece, until: &deadline)
            try parser.feed(piece)
        }
        let (signature, entries) = try parser.finish()
        try await take(signature, entries, answering: request)
    }

    /// The events of a stream. Returns where a new anchor is due; throws at its end.
    func readStream(
        _ pieces: IssuerClient.Pieces, answering first: FollowerState.Request
    ) async throws {
        var parser = EventStreamParser()
        var staged = StagedEntries()
        var request: FollowerState.Request? = first
        var heardAt = ContinuousClock.now
        var deadline = heardAt + patience
        for try await piece in pieces {
            // Parts without entries and events of no meaning are heard, and prove nothing.
            if request != nil { try Self.expect(piece, until: &deadline) }
            let events = try parser.feed(piece)
            guard !events.isEmpty || ContinuousClock.now - heardAt <= silence else { throw FetchFailure.silent }
            for event in events {
                switch try FeedEvent(event) {
                case .part(let entries):
                    try Self.stage(entries, in: &staged)
                case .message(let signature, let entries):
                    try Self.stage(entries, in: &staged)
                    try await take(signature, staged, answering: request)
                    staged = StagedEntries()
                    request = nil
                case .stale:
                    // Another node may know more.
                    if case .stale = revocations.ground(clocks.read()).freshness {
                        throw FetchFailure.malformed("the node cannot tell how fresh it is")
                    }
                case .resync: throw FeedFault.resync
                case .unknown: break
                }
                heardAt = .now
            }
            if request == nil, revocations.follower.needsAnchor(clocks.read()) { return }
        }
        throw FetchFailure.ended
    }

    private static func expect(_ piece: [UInt8], until deadline: inout ContinuousClock.Instant) throws {
        guard ContinuousClock.now < deadline else { throw FetchFailure.silent }
        deadline += Duration.seconds(1) * piece.count / (64 << 10)
    }

    private static func stage(_ entries: [FeedEntry], in staged: inout StagedEntries) throws(FeedFault) {
        var octets: [UInt8] = []
        for entry in entries {
            try staged.append(entry)
            entry.write(to: &octets)
        }
        staged.digest(octets[...])
    }

    private func take(
        _ signature: [UInt8], _ entries: StagedEntries, answering request: FollowerState.Request?
    ) async throws(FeedFault) {
        let claims = try verifier.verify(signature, over: entries)
        try await revocations.take(claims, entries, answering: request, clocks: clocks)
        metrics.message(claims)
    }
}
