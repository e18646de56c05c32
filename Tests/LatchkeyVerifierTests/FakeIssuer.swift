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
    static let bootShift: Int64 = 7 * 3_600_000

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

    static func word(_ epoch: UniqueID, _ seq: Int) -> String {
        "\(epoch.text).\(seq).\(String(repeating: "c", count: 16))"
    }

    // MARK: the feed

    struct Message {
        let members: JSONObject
        let entries: [FeedEntry]
        let signature: [UInt8]
    }

    func message(after: Int?, nonce: String?) throws -> Message {
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
    func seq(_ word: String?) -> Int? {
        state.withLock { state in
            guard let position = word.flatMap({ FeedPosition($0) }), position.epoch == state.epoch,
                position.seq <= Int64(state.entries.count)
            else { return nil }
            return Int(position.seq)
        }
    }
}
