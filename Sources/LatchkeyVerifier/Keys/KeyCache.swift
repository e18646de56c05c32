internal import JOSE
internal import Logging
internal import NIOHTTP1
internal import Synchronization

/// The issuer's public keys as of the last good answer, and the tokens that were verified by them lately.
struct KeySnapshot: Sendable {
    let keys: VerificationKeys
    let keyIDs: [String]
    /// Forgotten with the keys: another key under a known `kid` must not inherit its tokens.
    let seen = AuthenticTokens()
}

/// Fetches the JWKS before it grows old, and at a `kid` that nobody knows. Readers take the snapshot and wait for
/// nothing.
final class KeyCache: Sendable {
    private struct State {
        var schedule = KeyCacheState()
        var snapshot: KeySnapshot?
        var body: [UInt8] = []
        var etag: String?
        /// Fetches that have ended, well or not.
        var ended = 0
        var isRunning = false
    }

    private static let longestSet = 1 << 18
    /// How long a caller with an unknown `kid` is held for the fetch that may bring it.
    private static let patience = Duration.seconds(3)

    private let directory: Directory
    private let name: String?
    private let clocks: Clocks
    private let metrics: VerifierMetrics
    private let logger: Logger
    private let state = Mutex(State())
    let changes = Changes()

    init(directory: Directory, name: String?, clocks: Clocks, metrics: VerifierMetrics, logger: Logger) {
        self.directory = directory
        self.name = name
        self.clocks = clocks
        self.metrics = metrics
        self.logger = logger
    }

    var snapshot: KeySnapshot? { state.withLock { $0.snapshot } }

    /// Until cancelled. Never throws: without an answer the last good set stays.
    func run(_ client: IssuerClient) async {
        state.withLock { $0.isRunning = true }
        defer {
            // Nobody waits for what will not come.
            state.withLock { $0.isRunning = false }
            changes.announce()
        }
        while !Task.isCancelled {
            let number = changes.number
            let now = clocks.read().boot
            let due = state.withLock { $0.schedule.nextFetch }
            if due <= now {
                await fetch(client)
            } else {
                // Looked at again now and then: the boot clock runs on through sleep, a timer need not.
                await changes.wait(after: number, until: .now + min(.nanoseconds(due - now), .seconds(30)))
            }
        }
    }

    /// Asks for one shared fetch, unless there was one lately, and waits for its end.
    func refetch() async {
        let now = clocks.read().boot
        let (asked, ended) = state.withLock { state in
            (state.isRunning ? state.schedule.unknownKey(now: now) : .refuse, state.ended)
        }
        guard asked != .refuse else { return }
        if asked == .ask { changes.announce() }
        _ = await changes.firstValue(within: Self.patience) {
            self.state.withLock { $0.ended > ended || !$0.isRunning ? true : nil }
        }
    }

    private func fetch(_ client: IssuerClient) async {
        let etag = state.withLock { state in
            state.schedule.begun(now: clocks.read().boot)
            return state.etag
        }
        do {
            let directions = try await directory.directions(client)
            var headers = [("accept", "application/jwk-set+json, application/json")]
            if let etag { headers.append(("if-none-match", etag)) }
            if let name { headers.append(("latchkey-verifier", Self.introduction(name, snapshot?.keyIDs ?? []))) }
            let answer = try await client.get(
                directions.keys.text, headers: headers, limit: Self.longestSet, within: .seconds(5))
            try take(answer)
            metrics.keysFetched(.succeeded)
        } catch {
            let jitter = Double.random(in: 0..<1)
            state.withLock { state in
                state.schedule.failed(now: clocks.read().boot, jitter: jitter)
                state.ended += 1
            }
            directory.distrust()
            if !Task.isCancelled {
                metrics.keysFetched(.failed)
                logger.warning("the issuer's keys cannot be fetched", metadata: ["error": "\(error)"])
            }
        }
        changes.announce()
    }

    private func take(_ answer: IssuerClient.Answer) throws {
        let maxAge = CacheControl.seconds(
            answer.headers["cache-control"], age: answer.headers.first(name: "age"))
        let now = clocks.read().boot
        if answer.status == 304, snapshot != nil {
            state.withLock { state in
                state.schedule.succeeded(now: now, maxAge: maxAge)
                state.ended += 1
            }
            return
        }
        guard answer.status == 200 else { throw FetchFailure.status(answer.status) }
        let set: JSONWebKeySet
        do throws(JSONWebKeySetError) { set = try JSONWebKeySet(parsing: answer.body) } catch {
            throw FetchFailure.malformed("no JWKS")
        }
        // An empty set would refuse every token: whatever served it, it is no issuer that signs.
        guard 1...64 ~= set.keys.count else { throw FetchFailure.malformed("a JWKS of \(set.keys.count) keys") }
        state.withLock { state in
            if state.body != answer.body || state.snapshot == nil {
                state.snapshot = KeySnapshot(keys: VerificationKeys(set.keys), keyIDs: set.keys.map(\.keyID))
                state.body = answer.body
            }
            state.etag = answer.headers.first(name: "etag")
            state.schedule.succeeded(now: now, maxAge: maxAge)
            state.ended += 1
        }
    }

    /// `Latchkey-Verifier`: who asks, and which keys it holds before it gets these (RFC 8941 §3.2). With it the
    /// issuer's operators see whom a rotation would still surprise.
    static func introduction(_ name: String, _ keyIDs: [String]) -> String {
        let quotable = keyIDs.filter { keyID in
            keyID.utf8.allSatisfy { 0x20...0x7e ~= $0 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
        }
        return "name=\"\(name)\", kids=(\(quotable.prefix(16).map { "\"\($0)\"" }.joined(separator: " ")))"
    }
}
