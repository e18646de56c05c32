import AsyncHTTPClient
package import JOSE
import NIOCore
import NIOHTTP1
import Synchronization

/// A plain reader of a node's revocation stream, by the words of `docs/revocation.md`: no part of the server or of the
/// verifier reads for it.
package final class FeedFollower: Sendable {
    package struct Event: Sendable {
        package let name: String
        package let id: String?
        package let data: JSONObject
        package let at: ContinuousClock.Instant

        package var entries: [JSONValue] { data["entries"]?.array ?? [] }
    }

    private struct State {
        var events: [Event] = []
        var ids: [String: ContinuousClock.Instant] = [:]
        var keyIDs: Set<String> = []
        var position: String?
        var hasEnded = false
    }

    /// Enough connections for a crowd.
    private static let client = HTTPClient(
        eventLoopGroupProvider: .singleton,
        configuration: .init(
            timeout: .init(connect: .seconds(30), read: .seconds(60)),
            connectionPool: .init(idleTimeout: .seconds(1), concurrentHTTP1ConnectionsPerHostSoftLimit: 4096)))

    private let state = Mutex(State())
    private let task = Mutex<Task<Void, Never>?>(nil)
    package let status: Int
    package let body: [UInt8]

    private init(status: Int, body: [UInt8] = []) {
        self.status = status
        self.body = body
    }

    /// Returns once the head has come; a refusal comes with its body.
    package static func follow(
        _ node: TestNode, query: String = "", headers: [(String, String)] = []
    ) async throws -> FeedFollower {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(node.port)/revocations/stream\(query)")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let response = try await client.execute(request, deadline: .distantFuture)
        guard response.status == .ok else {
            let body = try await response.body.collect(upTo: 1 << 20)
            return FeedFollower(status: Int(response.status.code), body: Array(body.readableBytesView))
        }
        let follower = FeedFollower(status: 200)
        follower.task.withLock {
            $0 = Task {
                var rest: [UInt8] = []
                do {
                    for try await buffer in response.body {
                        rest += buffer.readableBytesView
                        follower.take(&rest)
                    }
                } catch {
                    // The connection broke: an end as any other.
                }
                follower.state.withLock { $0.hasEnded = true }
            }
        }
        return follower
    }

    /// Hangs up.
    package func stop() async {
        let task = task.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    private func take(_ rest: inout [UInt8]) {
        let now = ContinuousClock.now
        var start = rest.startIndex
        var index = start
        while index + 1 < rest.endIndex {
            if rest[index] == 0x0A, rest[index + 1] == 0x0A {
                take(String(decoding: rest[start..<index], as: UTF8.self), at: now)
                start = index + 2
                index = start
            } else {
                index += 1
            }
        }
        rest.removeFirst(start)
    }

    private func take(_ text: String, at now: ContinuousClock.Instant) {
        var fields: [Substring: String] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon]] = String(line[line.index(after: colon)...].dropFirst())
        }
        guard let name = fields["event"], let data = try? JSONValue.parse(Array((fields["data"] ?? "").utf8)).object
        else { return }
        let event = Event(name: name, id: fields["id"], data: data, at: now)
        state.withLock { state in
            state.events.append(event)
            for entry in event.entries.compactMap(\.object) {
                if let id = (entry["jti"] ?? entry["sid"])?.string, state.ids[id] == nil { state.ids[id] = now }
                if let kid = entry["kid"]?.string { state.keyIDs.insert(kid) }
                if let kid = entry["lift"]?.string { state.keyIDs.remove(kid) }
            }
            if let id = event.id { state.position = id }
        }
    }

    package var events: [Event] { state.withLock { $0.events } }
    package func events(_ name: String) -> [Event] { events.filter { $0.name.utf8.elementsEqual(name.utf8) } }
    /// Those that move the position.
    package var messages: [Event] { events.filter { $0.id != nil } }
    package var position: String? { state.withLock { $0.position } }
    package var hasEnded: Bool { state.withLock { $0.hasEnded } }
    /// Tokens and sessions.
    package var ids: Set<String> { state.withLock { Set($0.ids.keys) } }

    /// Whether the token or session is known to be revoked, and since when.
    package func since(_ id: UniqueID) -> ContinuousClock.Instant? { state.withLock { $0.ids[id.text] } }
    package func holds(_ id: UniqueID) -> Bool { since(id) != nil }
    package func holds(keyID: String) -> Bool { state.withLock { $0.keyIDs.contains(keyID) } }
}
