internal import JOSE
public import Logging
internal import Metrics
public import ServiceLifecycle

/// What to do with a token that is good as far as the verifier knows, while it cannot prove that it knows enough.
public enum StalePolicy: Sendable {
    /// Fail closed: no token is accepted, until the feed is back. What a payment asks for.
    case refuse
    /// Fail open: tokens are accepted until they expire, unless their revocation is known. What a picture gallery asks
    /// for.
    case accept
}

/// Verifies the access tokens of one Latchkey issuer for one service, offline: it keeps the issuer's keys and the list
/// of what is revoked, follows both in the background, and knows how fresh they are.
///
/// A `Service`: give it to your `ServiceGroup`, or call `run()` in a task of its own. Without that it knows nothing.
///
/// `verify` does no I/O, but for one case: a token with a `kid` that nobody here knows waits for one shared fetch of
/// the keys, at most once in ten seconds for all callers together.
public final class Verifier: Service {
    private let judge: TokenVerifier
    private let whenStale: StalePolicy
    private let clocks: Clocks
    private let metrics: VerifierMetrics
    private let keys: KeyCache
    private let revocations: FollowedSet
    private let follower: RevocationFollower

    /// - Parameters:
    ///   - issuer: what `iss` must be, byte for byte: an `https` URL, or `http` on the loopback.
    ///   - audience: what `aud` must hold, byte for byte: this service's name at the issuer.
    ///   - limit: how old the list of what is revoked may be, 3 s to an hour. While the feed is up, it is 1 to 2 s.
    ///   - whenStale: what to do beyond that.
    ///   - source: where keys and revocations come from.
    ///   - name: what the issuer's operators see in `latchkey keys verifiers`, 1 to 64 of `A-Z a-z 0-9 . _ - / :`; each
    ///     process has one of its own.
    ///   - credentials: where the feed is not for everyone.
    ///   - leeway: by how much this machine's wall clock may differ from the issuer's, 0 to 300 s.
    ///   - logger: told of interruptions.
    /// - Throws: `VerifierError`, for an argument outside these.
    public convenience init(
        issuer: String, audience: String, staleAfter limit: Duration, whenStale: StalePolicy,
        source: VerifierSource = .discovery, name: String? = nil, credentials: FeedCredentials? = nil,
        leeway: Duration = .seconds(30), logger: Logger = Logger(label: "latchkey-verifier")
    ) throws(VerifierError) {
        try self.init(
            issuer: issuer, audience: audience, staleAfter: limit, whenStale: whenStale, source: source, name: name,
            credentials: credentials, leeway: leeway, logger: logger, clocks: .machine, metrics: MetricsSystem.factory)
    }

    init(
        issuer: String, audience: String, staleAfter limit: Duration, whenStale: StalePolicy, source: VerifierSource,
        name: String?, credentials: FeedCredentials?, leeway: Duration, logger: Logger, clocks: Clocks,
        metrics factory: any MetricsFactory
    ) throws(VerifierError) {
        guard let place = Endpoint(issuer) else {
            throw VerifierError(.invalidIssuer, "the issuer must be an https URL, or http on the loopback")
        }
        guard !audience.isEmpty else { throw VerifierError(.invalidAudience, "the audience must not be empty") }
        guard Duration.zero...(.seconds(300)) ~= leeway else {
            // An entry of the list outlives its token by 300 s.
            throw VerifierError(.invalidLeeway, "the leeway must be 0 to 300 s")
        }
        guard Duration.seconds(3)...(.seconds(3600)) ~= limit else {
            throw VerifierError(.invalidStaleness, "the limit of staleness must be 3 s to an hour")
        }
        if let name, !Self.isUsable(name: name) {
            throw VerifierError(.invalidName, "a verifier's name is 1 to 64 of A-Z a-z 0-9 . _ - / :")
        }
        self.whenStale = whenStale
        self.clocks = clocks
        judge = TokenVerifier(issuer: issuer, audience: audience, leeway: leeway.components.seconds)
        let metrics = VerifierMetrics(factory: factory, startedAt: clocks.read())
        self.metrics = metrics
        let directory = try Self.directory(issuer: issuer, place: place, source: source)
        keys = KeyCache(directory: directory, name: name, clocks: clocks, metrics: metrics, logger: logger)
        revocations = FollowedSet(FollowerState(proof: source.proof, limit: limit.nanoseconds))
        follower = RevocationFollower(
            issuer: issuer, directory: directory, credentials: credentials, revocations: revocations, clocks: clocks,
            metrics: metrics, logger: logger)
    }

    // MARK: verdicts

    /// The token, where it may be acted on.
    ///
    /// - Throws: `TokenRejection`. Answer 401 to all but `.stale`, which is 503: the token may be good.
    public func verify(_ token: String) async throws(TokenRejection) -> AccessToken {
        let ground = revocations.ground(clocks.read())
        do throws(TokenRejection) {
            return try admit(token, ground)
        } catch {
            guard error == .unknownKey else { throw counted(error) }
            await keys.refetch()
        }
        // Also where nothing was fetched for it: the fetch of another caller may have ended since.
        return try verifyWithKeysAtHand(token)
    }

    /// The same without ever waiting: a `kid` that is not known is refused. For who cannot await.
    public func verifyWithKeysAtHand(_ token: String) throws(TokenRejection) -> AccessToken {
        do throws(TokenRejection) {
            return try admit(token, revocations.ground(clocks.read()))
        } catch {
            throw counted(error)
        }
    }

    private func counted(_ rejection: TokenRejection) -> TokenRejection {
        metrics.rejected(rejection)
        return rejection
    }

    /// What is known to be bad is refused as such, however fresh the list is.
    private func admit(
        _ token: String, _ ground: (freshness: FollowerState.Freshness, second: Int64)
    ) throws(TokenRejection) -> AccessToken {
        // Without keys nothing can be said of a token, least of all that it is bad.
        guard let snapshot = keys.snapshot else { throw .stale }
        let authentic = try snapshot.seen.authenticate(token, keys: snapshot.keys)
        let accessToken = try judge.verify(authentic, revocations: revocations, now: ground.second)
        if whenStale == .refuse, case .stale = ground.freshness { throw .stale }
        metrics.accepted(whileStale: ground.freshness)
        return accessToken
    }

    // MARK: life

    /// Fetches the keys and follows the feed, until the task is cancelled or a graceful shutdown begins. Throws nothing
    /// of what happens between: an issuer out of reach makes the verifier stale, and it heals by itself. Call it once.
    public func run() async throws {
        let client = IssuerClient()
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.keys.run(client) }
                group.addTask { await self.follower.run(client) }
                group.addTask { await self.sweep() }
            }
        }
        await client.close()
    }

    /// Drops what has expired, and shows the gauges.
    private func sweep() async {
        while !Task.isCancelled {
            revocations.removeExpired(clocks: clocks)
            metrics.look(at: revocations, clocks.read())
            try? await Task.sleep(for: .seconds(5))
        }
    }

    /// What the verifier knows right now of what is revoked.
    public var status: VerifierStatus {
        VerifierStatus(
            follower: revocations.follower, count: revocations.count, hasKeys: keys.snapshot != nil, clocks.read())
    }

    /// What the ids of the list take, in bytes.
    package var heldBytes: Int { revocations.heldBytes }

    /// Waits until the keys are here and the list is fresh: for who wants to be ready before he serves.
    /// - Throws: `VerifierError` with `.timedOut`.
    public func waitUntilReady(within limit: Duration) async throws(VerifierError) {
        let begin = ContinuousClock.now
        let hasKeys = await keys.changes.firstValue(within: limit) { self.keys.snapshot }
        let isFresh = await revocations.changes.firstValue(within: limit - (.now - begin)) { () -> Bool? in
            guard case .fresh = self.revocations.ground(self.clocks.read()).freshness else { return nil }
            return true
        }
        guard hasKeys != nil, isFresh == true else {
            throw VerifierError(
                .timedOut, "the issuer's \(hasKeys == nil ? "keys" : "revocations") did not come in time")
        }
    }

    /// Waits until what was revoked at `position` is applied here.
    ///
    /// - Parameters:
    ///   - position: of `Latchkey-Position`, which every call that revokes answers with.
    ///   - limit: 1 s is enough while the feed is up.
    /// - Throws: `VerifierError` with `.invalidPosition` or `.timedOut`.
    public func waitUntilApplied(_ position: String, within limit: Duration) async throws(VerifierError) {
        guard let position = FeedPosition(position) else {
            throw VerifierError(.invalidPosition, "this is no position of the revocation list")
        }
        let isApplied = await revocations.changes.firstValue(within: limit) { () -> Bool? in
            self.revocations.follower.hasApplied(position) ? true : nil
        }
        guard isApplied == true else { throw VerifierError(.timedOut, "the position was not applied in time") }
    }

    // MARK: arguments

    private static func isUsable(name: String) -> Bool {
        1...64 ~= name.utf8.count
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x39: true
                default: "._-/:".utf8.contains(byte)
                }
            }
    }

    private static func directory(
        issuer: String, place: Endpoint, source: VerifierSource
    ) throws(VerifierError) -> Directory {
        let keys: String
        let revocations: String
        switch source.place {
        case .discovery:
            guard let discovery = place.appending("/.well-known/openid-configuration") else {
                throw VerifierError(.invalidIssuer, "the issuer is too long")
            }
            return Directory(issuer: issuer, discovery: discovery)
        case .endpoints(let given, let feed): (keys, revocations) = (given, feed)
        case .mirror(let given, let feed):
            guard Duration.zero...(.seconds(60)) ~= source.clockError else {
                throw VerifierError(.invalidStaleness, "the clock's error must be 0 to 60 s")
            }
            (keys, revocations) = (given, feed)
        }
        guard let keys = Endpoint(keys), let revocations = Endpoint(revocations) else {
            throw VerifierError(.invalidEndpoint, "an address must be an https URL, or http on the loopback")
        }
        let jwks = source.feedKeys.flatMap { try? JSONValue.parse(Array($0.utf8)) }
        guard let feedKeys = jwks.flatMap({ VerificationKeys(feed: $0) }) else {
            throw VerifierError(.invalidFeedKey, "the feed's keys must be a JWKS")
        }
        return Directory(
            issuer: issuer, fixed: Directions(keys: keys, revocations: revocations, feedKeys: feedKeys))
    }
}
