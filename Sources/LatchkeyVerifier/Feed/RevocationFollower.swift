internal import JOSE
internal import LibCrypto
internal import Logging
internal import NIOHTTP1

/// Follows the issuer's revocation feed in the background, for as long as it is let. It writes the set, and nobody
/// waits for it but who asks to.
struct RevocationFollower: Sendable {
    let issuer: String
    let directory: Directory
    let credentials: FeedCredentials?
    let revocations: FollowedSet
    let clocks: Clocks
    let metrics: VerifierMetrics
    let logger: Logger

    /// Until cancelled. Never throws: whatever is wrong out there makes the set older, and then it heals.
    func run(_ client: IssuerClient) async {
        var transport = Transport()
        var backoff = Backoff(first: .milliseconds(500), limit: .seconds(5))
        // Why it does not work, as the log was last told.
        var told: String?
        while !Task.isCancelled {
            let way = isMirrored ? .poll : transport.next(now: clocks.read().boot)
            let before = revocations.changes.number
            var pause = Duration.zero
            var failure: (any Error)?
            do {
                try await follow(by: way, client)
                pause = interval(of: way)
            } catch {
                failure = error
            }
            if Task.isCancelled { return }
            let hasHeard = revocations.changes.number > before
            if hasHeard {
                // Where polls serve, the stream that is tried in vain each minute is no news.
                if way == .stream || isMirrored { told = nil }
                transport.succeeded(by: way)
                backoff.succeeded()
            } else {
                transport.failed(by: way, now: clocks.read().boot)
            }
            if let failure {
                recover(from: failure, way, wasFollowing: hasHeard, told: &told)
                // Also after a stream that went well: a node that ends has all its followers to lose at once.
                pause = backoff.failed(jitter: .random(in: 0..<1))
            }
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
    }

    private var isMirrored: Bool { revocations.follower.proof != .nonce }
    private var limit: Duration { .nanoseconds(revocations.follower.limit) }

    /// Between two questions. Of plain polls two may fail before the set is stale; held answers come when there is
    /// something, and at most so often even where somebody between does not hold them.
    private func interval(of way: Transport.Way) -> Duration {
        switch way {
        case .stream: .zero
        case .longPoll: .milliseconds(100)
        case .poll: min(limit / 3, .seconds(30))
        }
    }

    /// Whole seconds for which an answer may be held: it looks older by as long as it was.
    private var longestWait: Int64 { min(30, max(1, limit.components.seconds / 3)) }
    /// Heartbeats come every second.
    private var longestSilence: Duration { min(max(.seconds(2), limit / 2), .seconds(10)) }

    private func follow(by way: Transport.Way, _ client: IssuerClient) async throws {
        let directions = try await directory.directions(client)
        let reader = FeedReader(
            verifier: FeedVerifier(issuer: issuer, keys: directions.feedKeys), revocations: revocations, clocks: clocks,
            metrics: metrics, silence: longestSilence, patience: .seconds(30 + longestWait))
        if isMirrored {
            // Whoever mirrors it answers nobody in particular.
            return try await poll(directions.revocations, reader, client, parameters: [], position: nil)
        }
        guard let position = revocations.follower.position else {
            return try await poll(directions.revocations, reader, client, parameters: [], position: nil)
        }
        switch way {
        case .stream: try await stream(directions.revocations, reader, client, from: position)
        case .longPoll:
            try await poll(
                directions.revocations, reader, client, parameters: [("wait", "\(longestWait)")], position: position)
        case .poll: try await poll(directions.revocations, reader, client, parameters: [], position: position)
        }
    }

    private func poll(
        _ endpoint: Endpoint, _ reader: FeedReader, _ client: IssuerClient, parameters: [(String, String)],
        position: FeedPosition?
    ) async throws {
        let request = newRequest()
        var query = isMirrored ? [] : [("nonce", request.nonce)]
        if let position { query.append(("after", position.word)) }
        try await client.stream(
            endpoint.query(query + parameters), headers: headers(accept: FeedReader.binaryType),
            silence: .seconds(longestWait) + max(.seconds(1), limit / 3)
        ) { status, headers, pieces in
            if status == 410, position != nil { throw FeedFault.resync }
            guard status == 200 else { throw FetchFailure.status(status) }
            guard headers.first(name: "content-type") == FeedReader.binaryType else {
                throw FetchFailure.malformed("not the feed's binary form")
            }
            try await reader.readMessage(pieces, answering: request)
        }
    }

    private func stream(
        _ endpoint: Endpoint, _ reader: FeedReader, _ client: IssuerClient, from position: FeedPosition
    ) async throws {
        guard let endpoint = endpoint.appending("/stream") else {
            throw FetchFailure.malformed("no address of a stream")
        }
        let request = newRequest()
        try await client.stream(
            endpoint.query([("nonce", request.nonce)]),
            headers: headers(accept: "text/event-stream") + [("last-event-id", position.word)], silence: longestSilence
        ) { status, headers, pieces in
            guard status == 200 else { throw FetchFailure.status(status) }
            guard headers.first(name: "content-type")?.utf8.starts(with: "text/event-stream".utf8) == true else {
                throw FetchFailure.malformed("not an event stream")
            }
            try await reader.readStream(pieces, answering: request)
        }
    }

    private func headers(accept: String) -> [(String, String)] {
        [("accept", accept), ("cache-control", "no-store")] + (credentials.map { [$0.header] } ?? [])
    }

    /// The clocks are read before anything is sent: what comes back was made after. A jump that shows only now lies before
    /// it, and is no reason to refuse what comes back.
    func newRequest() -> FollowerState.Request {
        revocations.observe(clocks.read())
        return FollowerState.Request(nonce: Base64URL.encode(SecureRandom.bytes(16)), sentAt: clocks.read())
    }

    /// What an error asks for, beyond connecting again.
    private func recover(
        from error: any Error, _ way: Transport.Way, wasFollowing: Bool, told: inout String?
    ) {
        if let fault = error as? FeedFault {
            metrics.fault(fault)
            switch fault {
            case .resync: revocations.forgetPosition()
            // The stream that goes on elsewhere is asked again from where we stand; an answer that does will not get
            // better.
            case .gap where way != .stream: revocations.forgetPosition()
            case .unknownKey, .badSignature, .wrongIssuer: directory.distrust()
            default: break
            }
        } else {
            metrics.feedFailed()
            if !wasFollowing { directory.distrust() }
        }
        let reason = "\(error)"
        let metadata: Logger.Metadata = ["error": "\(reason)", "way": "\(way.rawValue)"]
        if wasFollowing {
            logger.notice("the revocation feed was interrupted", metadata: metadata)
        } else if reason != told {
            // Once for each reason: that it goes on is told by the gauges.
            told = reason
            logger.warning("the revocation feed cannot be followed", metadata: metadata)
        }
    }
}
