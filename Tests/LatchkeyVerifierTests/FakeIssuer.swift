import HTTPTypes
import Hummingbird
import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

@testable import LatchkeyVerifier

/// An issuer over real sockets, which signs its feed by the words of `docs/revocation.md`, and somebody on the way who can
/// tamper with it. Its clocks are hours away from ours.
final class FakeIssuer: Sendable {
    /// What happens to the feed on its way.
    enum Tampering: Sendable, Equatable, CaseIterable {
        case nothing
        /// Every answer is 503, every stream ends.
        case cut
        /// Streams stand still, answers never come.
        case silent
        /// Messages with entries are lost, heartbeats come through.
        case hides
        /// The last entry of each message is cut off.
        case truncates
        /// All that is signed is signed by a stranger's key, and says what the stranger likes.
        case foreignKey
        /// What came before comes again: of lists the first, of streams the last heartbeat.
        case replays
        /// Each message comes some time after it was made.
        case late
        /// Answers come an octet at a time; streams say nothing between their entries, and never fall silent.
        case drips
        /// There is no stream.
        case noStream
        /// Nor are answers held.
        case noHolding
    }

    struct State {
        var tampering = Tampering.nothing
        var epoch = UniqueID.random()
        var entries: [FeedEntry] = []
        var node = UniqueID.random().text
        var isStale = false
        var signers: [PrivateKey]
        var keysAreDown = false
        /// Nor do they answer.
        var keysAreSilent = false
        var maxAge = 300
        var keyFetches = 0
        var verifierHeaders: [String] = []
        var asked: [String: Int] = [:]
        var recordedList: [UInt8]?
        var recordedEvent: [UInt8]?
    }

    let state: Mutex<State>
    let forge: Mutex<FeedForge?> = Mutex(nil)
    private let stranger: PrivateKey
    private let port: Mutex<Int> = Mutex(0)

    /// Milliseconds by which the fake's boot clock is ahead of ours.
    private static let bootShift: Int64 = 7 * 3_600_000

    private init() throws {
        state = Mutex(State(signers: [try PrivateKey.generate(.es256)]))
        stranger = try PrivateKey.generate(.edDSA)
    }

    var issuer: String { "http://127.0.0.1:\(port.withLock { $0 })" }

    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }
    func tamper(_ tampering: Tampering) { change { $0.tampering = tampering } }
    func asked(_ what: String) -> Int { state.withLock { $0.asked[what] ?? 0 } }

    /// Serves while `body` runs.
    static func run(_ body: @Sendable (FakeIssuer) async throws -> Void) async throws {
        let it = try FakeIssuer()
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let silent = Logger(label: "fake") { _ in SwiftLogNoOpLogHandler() }
        let application = Application(
            router: it.router(), configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in continuation.yield(channel.localAddress?.port ?? 0) }, logger: silent)
        let group = ServiceGroup(services: [application], logger: silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            for await port in ports {
                it.port.withLock { $0 = port }
                break
            }
            let forge = try FeedForge(issuer: it.issuer)
            it.forge.withLock { $0 = forge }
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(it))
            } catch {
                result = .failure(error)
            }
            // Streams end first: a graceful shutdown waits for them.
            it.tamper(.cut)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            try result.get()
        }
    }

    // MARK: what it issues

    /// A token of this issuer, and its ids.
    func token(
        tokenID: UniqueID = .random(), sessionID: UniqueID = .random(), by signer: PrivateKey? = nil
    ) throws -> (text: String, tokenID: UniqueID, sessionID: UniqueID) {
        let now = ClockReading.now().wall / 1000
        var claims = TokenForge.claims
        claims["iss"] = .string(issuer)
        claims["iat"] = .integer(now)
        claims["exp"] = .integer(now + 3000)
        claims["jti"] = .string(tokenID.text)
        claims["sid"] = .string(sessionID.text)
        let key = signer ?? state.withLock { $0.signers[0] }
        let text = try JSONWebSignature.sign(
            payload: claims.encoded(), key: key, keyID: JSONWebKey(key.publicKey).keyID, type: "at+jwt")
        return (text, tokenID, sessionID)
    }

    /// Puts an entry on the list and says where.
    @discardableResult
    func revoke(_ entry: FeedEntry) -> String {
        state.withLock { state in
            state.entries.append(entry)
            return Self.word(state.epoch, state.entries.count)
        }
    }

    @discardableResult
    func revoke(_ tokenID: UniqueID) -> String {
        revoke(.id(.token, tokenID, expiresAt: UInt32(ClockReading.now().wall / 1000 + 4000)))
    }

    var position: String { state.withLock { Self.word($0.epoch, $0.entries.count) } }

    private static func word(_ epoch: UniqueID, _ seq: Int) -> String {
        "\(epoch.text).\(seq).\(String(repeating: "c", count: 16))"
    }

    // MARK: the feed

    private struct Message {
        let members: JSONObject
        let entries: [FeedEntry]
        let signature: [UInt8]
    }

    private func message(after: Int?, nonce: String?) throws -> Message {
        guard let forge = forge.withLock({ $0 }) else { throw CancellationError() }
        let (epoch, all, node, tampering) = state.withLock { ($0.epoch, $0.entries, $0.node, $0.tampering) }
        let now = ClockReading.now().boot / 1_000_000 + Self.bootShift
        var entries = Array(all.dropFirst(after ?? 0))
        if after == nil {
            // A whole list holds no lift.
            let lifted = entries.compactMap { entry -> String? in
                if case .lift(let name) = entry { return name }
                return nil
            }
            entries = entries.filter { entry in
                switch entry {
                case .id: true
                case .key(let name): !lifted.contains(name)
                case .lift: false
                }
            }
        }
        // The stranger says that nothing is revoked.
        if tampering == .foreignKey { entries = [] }
        let members = FeedForge.members(
            position: Self.word(epoch, all.count), after: after.map { Self.word(epoch, $0) }, asOf: now - 20, now: now,
            node: node, iat: ClockReading.now().wall / 1000, nonce: nonce, count: entries.count)
        let signature = try forge.sign(members, entries, by: tampering == .foreignKey ? stranger : nil)
        if tampering == .truncates { entries = entries.dropLast() }
        return Message(members: members, entries: entries, signature: signature)
    }

    /// Where a position stands in the list; nil for one of another history.
    private func seq(_ word: String?) -> Int? {
        state.withLock { state in
            guard let position = word.flatMap({ FeedPosition($0) }), position.epoch == state.epoch,
                position.seq <= Int64(state.entries.count)
            else { return nil }
            return Int(position.seq)
        }
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/.well-known/openid-configuration") { [self] _, _ in
            guard let forge = forge.withLock({ $0 }) else { throw HTTPError(.serviceUnavailable) }
            let document: JSONObject = [
                "issuer": .string(issuer), "jwks_uri": .string("\(issuer)/jwks"),
                "latchkey_revocations_endpoint": .string("\(issuer)/revocations"),
                "latchkey_revocations_jwks": forge.jwks,
            ]
            return Self.answer(document.encoded(), type: "application/json")
        }
        router.get("/jwks") { [self] request, _ in
            let (signers, maxAge, isDown) = state.withLock { state in
                state.keyFetches += 1
                if let name = HTTPField.Name("latchkey-verifier"), let value = request.headers[name] {
                    state.verifierHeaders.append(value)
                }
                return (state.signers, state.maxAge, state.keysAreDown)
            }
            if isDown { throw HTTPError(.serviceUnavailable) }
            while state.withLock({ $0.keysAreSilent }) { try await Task.sleep(for: .milliseconds(20)) }
            var response = Self.answer(
                JSONWebKeySet(signers.map { JSONWebKey($0.publicKey) }).encoded(), type: "application/jwk-set+json")
            response.headers[.cacheControl] = "public, max-age=\(maxAge)"
            return response
        }
        router.get("/revocations") { [self] request, _ in try await list(request) }
        router.get("/revocations/stream") { [self] request, _ in try await stream(request) }
        return router
    }

    private static func answer(_ body: [UInt8], type: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }

    private func pass(_ what: String) async throws {
        state.withLock { $0.asked[what, default: 0] += 1 }
        while state.withLock({ $0.tampering == .silent }) { try await Task.sleep(for: .milliseconds(20)) }
        if state.withLock({ $0.tampering == .cut }) { throw HTTPError(.serviceUnavailable) }
    }

    private func list(_ request: Request) async throws -> Response {
        let query = request.uri.queryParameters
        let after = query["after"].map { String($0) }
        let wait = query["wait"].flatMap { Int($0) } ?? 0
        try await pass(wait > 0 ? "held" : after == nil ? "list" : "poll")
        if state.withLock({ $0.tampering == .noHolding }), wait > 0 { throw HTTPError(.badGateway) }
        if after != nil, seq(after) == nil { throw HTTPError(.gone) }
        let end = ContinuousClock.now + .seconds(wait)
        while let after = seq(after), wait > 0, ContinuousClock.now < end,
            state.withLock({ $0.entries.count == after && $0.tampering != .cut })
        {
            try await Task.sleep(for: .milliseconds(10))
        }
        if after != nil, seq(after) == nil { throw HTTPError(.gone) }
        if let recorded = state.withLock({ $0.tampering == .replays ? $0.recordedList : nil }) {
            return Self.answer(recorded, type: FeedReader.binaryType)
        }
        let message = try message(after: seq(after), nonce: query["nonce"].map { String($0) })
        let body = FeedForge.binary(message.members, message.entries, signature: message.signature)
        state.withLock { if $0.recordedList == nil { $0.recordedList = body } }
        if state.withLock({ $0.tampering == .drips }) { return Self.dripped(body) }
        return Self.answer(body, type: FeedReader.binaryType)
    }

    /// Whole in the end: who waited for it has a good answer.
    private static func dripped(_ body: [UInt8]) -> Response {
        Response(
            status: .ok, headers: [.contentType: FeedReader.binaryType, .cacheControl: "no-store"],
            body: ResponseBody { writer in
                for octet in body.prefix(100) {
                    try await writer.write(ByteBuffer(bytes: [octet]))
                    try await Task.sleep(for: .milliseconds(10))
                }
                try await writer.write(ByteBuffer(bytes: body.dropFirst(100)))
                try await writer.finish(nil)
            })
    }

    private func stream(_ request: Request) async throws -> Response {
        try await pass("stream")
        if state.withLock({ $0.tampering == .noStream || $0.tampering == .noHolding }) { throw HTTPError(.notFound) }
        let nonce = request.uri.queryParameters["nonce"].map { String($0) }
        let from = HTTPField.Name("last-event-id").flatMap { request.headers[$0] }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: ResponseBody { [self] writer in
                guard var sent = seq(from) else {
                    try await writer.write(ByteBuffer(string: "event: resync\ndata: {\"reason\":\"history\"}\n\n"))
                    return try await writer.finish(nil)
                }
                var epoch = state.withLock { $0.epoch }
                var nonce = nonce
                var heartbeatAt = ContinuousClock.now
                var dripped = 0
                while !Task.isCancelled, dripped < 500 {
                    let (head, tampering, present, isStale) = state.withLock {
                        ($0.entries.count, $0.tampering, $0.epoch, $0.isStale)
                    }
                    if tampering == .cut || tampering == .noStream { break }
                    if present != epoch {
                        epoch = present
                        try await writer.write(ByteBuffer(string: "event: resync\ndata: {\"reason\":\"history\"}\n\n"))
                        break
                    }
                    if tampering == .drips, head == sent {
                        dripped += 1
                        try await writer.write(ByteBuffer(string: ":\n"))
                    } else if tampering != .silent, nonce != nil || head > sent || ContinuousClock.now >= heartbeatAt {
                        heartbeatAt = ContinuousClock.now + .milliseconds(100)
                        if isStale {
                            try await writer.write(ByteBuffer(string: "event: stale\ndata: {}\n\n"))
                        } else if tampering == .replays, let recorded = state.withLock({ $0.recordedEvent }) {
                            try await writer.write(ByteBuffer(bytes: recorded))
                        } else if tampering == .hides, head > sent {
                            // It swallows them and goes on behind them.
                            sent = head
                        } else if tampering == .late {
                            let message = try message(after: sent, nonce: nonce)
                            try await Task.sleep(for: .milliseconds(300))
                            try await write(message, head: head, to: &writer)
                            (sent, nonce) = (head, nil)
                        } else {
                            try await write(try message(after: sent, nonce: nonce), head: head, to: &writer)
                            (sent, nonce) = (head, nil)
                        }
                    }
                    try await Task.sleep(for: .milliseconds(10))
                }
                try await writer.finish(nil)
            })
    }

    private func write(_ message: Message, head: Int, to writer: inout any ResponseBodyWriter) async throws {
        let bytes = FeedForge.event(
            message.entries.isEmpty ? "heartbeat" : "revoked", id: Self.word(state.withLock { $0.epoch }, head),
            message.members, message.entries, signature: message.signature)
        if message.entries.isEmpty, message.members["nonce"] == nil { state.withLock { $0.recordedEvent = bytes } }
        try await writer.write(ByteBuffer(bytes: bytes))
    }
}

/// This machine's clocks, and how far the test has moved them.
final class MovedClocks: Sendable {
    private let shift = Mutex(ClockReading(boot: 0, wall: 0))

    var clocks: Clocks {
        Clocks { [self] in
            let now = ClockReading.now()
            let shift = shift.withLock { $0 }
            return ClockReading(boot: now.boot + shift.boot, wall: now.wall + shift.wall)
        }
    }

    /// Both clocks, as if so long had passed.
    func advance(_ duration: Duration) { move(boot: duration, wall: duration) }

    func move(boot: Duration = .zero, wall: Duration) {
        shift.withLock { shift in
            shift.boot += boot.nanoseconds
            shift.wall += wall.nanoseconds / 1_000_000
        }
    }
}
