import AsyncHTTPClient
package import JOSE
package import Latchkey
import Logging
import NIOCore
package import NIOHTTP1
import ServiceLifecycle

/// One node of a test's installation, serving on a port of loopback.
package final class TestNode: Sendable {
    package let installation: Installation
    package let port: Int
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    private init(_ installation: Installation, port: Int, group: ServiceGroup, task: Task<Void, any Error>) {
        self.installation = installation
        self.port = port
        self.group = group
        self.task = task
    }

    /// Returns once requests are accepted; throws what kept the node from starting.
    package static func start(_ installation: Installation) async throws -> TestNode {
        let (ports, continuation) = AsyncThrowingStream.makeStream(of: Int.self)
        let node = Node(installation) { continuation.yield($0) }
        let group = ServiceGroup(services: [node], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let task = Task {
            do {
                try await group.run()
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
                throw error
            }
        }
        for try await port in ports { return TestNode(installation, port: port, group: group, task: task) }
        throw StoppedEarly()
    }

    package struct StoppedEarly: Error {}

    /// Graceful shutdown, to its end.
    package func stop() async {
        await group.triggerGracefulShutdown()
        _ = await task.result
        installation.close()
    }

    // MARK: requests

    package struct Answer: Sendable {
        package let status: Int
        package let headers: HTTPHeaders
        package let body: [UInt8]

        package var json: JSONObject { (try? JSONValue.parse(body))?.object ?? JSONObject() }

        package subscript(name: String) -> String { json[name]?.string ?? "" }
    }

    /// Lets a test have many requests under way at once: the shared client has eight connections to a server.
    private static let client = HTTPClient(
        eventLoopGroupProvider: .singleton,
        configuration: .init(
            connectionPool: .init(idleTimeout: .seconds(10), concurrentHTTP1ConnectionsPerHostSoftLimit: 64)))

    /// Whether a 503 is asked again, as every client does: on a busy machine a node may be stale for a moment. Not where a
    /// test looks at each answer.
    @TaskLocal package static var asksAgain = true

    package func send(
        _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> Answer {
        let end = ContinuousClock.now + .seconds(10)
        while true {
            let answer = try await Self.send(method, "http://127.0.0.1:\(port)\(path)", headers: headers, body: body)
            guard Self.asksAgain, answer.status == 503, ContinuousClock.now < end else { return answer }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    package static func send(
        _ method: HTTPMethod, _ url: String, headers: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = method
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(body) }
        let response = try await client.execute(request, timeout: .seconds(30))
        let buffer = try await response.body.collect(upTo: 4 << 20)
        return Answer(
            status: Int(response.status.code), headers: response.headers, body: Array(buffer.readableBytesView))
    }

    package func get(_ path: String, bearer token: String? = nil) async throws -> Answer {
        try await send(.GET, path, headers: Self.authorization(token))
    }

    package func delete(_ path: String, bearer token: String? = nil) async throws -> Answer {
        try await send(.DELETE, path, headers: Self.authorization(token))
    }

    package func post(_ path: String, _ json: JSONValue? = nil, bearer token: String? = nil) async throws -> Answer {
        let type = json.map { _ in [("content-type", "application/json")] } ?? []
        return try await send(.POST, path, headers: Self.authorization(token) + type, body: json?.encoded())
    }

    package func put(_ path: String, _ json: JSONValue? = nil, bearer token: String? = nil) async throws -> Answer {
        let type = json.map { _ in [("content-type", "application/json")] } ?? []
        return try await send(.PUT, path, headers: Self.authorization(token) + type, body: json?.encoded())
    }

    /// Values of letters, digits and `- . _ ~` alone: nothing is encoded.
    package func form(_ path: String, _ pairs: [(String, String)], bearer token: String? = nil) async throws -> Answer {
        let body = pairs.map { "\($0)=\($1)" }.joined(separator: "&")
        return try await send(
            .POST, path,
            headers: Self.authorization(token) + [("content-type", "application/x-www-form-urlencoded")],
            body: Array(body.utf8))
    }

    private static func authorization(_ token: String?) -> [(String, String)] {
        token.map { [("authorization", "Bearer \($0)")] } ?? []
    }

    package func refresh(_ token: String) async throws -> Answer {
        try await form("/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    package func revoke(_ token: String) async throws -> Answer {
        try await form("/oauth2/revoke", [("token", token)])
    }

    /// - Parameter device: the device token to show.
    package func logIn(
        _ name: String, _ password: String = "correct horse", device: String? = nil
    ) async throws -> Answer {
        try await post(
            "/auth/login",
            .object(
                JSONObject([
                    ("username", .string(name)), ("password", .string(password)),
                    ("device_token", device.map { .string($0) }),
                ])))
    }

    /// Registers and logs in.
    package func newUser(_ name: String, _ password: String = "correct horse") async throws -> Answer {
        let answer = try await post("/auth/register", ["username": .string(name), "password": .string(password)])
        guard answer.status == 201 else { return answer }
        return try await logIn(name, password)
    }

    /// The access token of a user with role `admin`.
    package func administrator(_ name: String = "root") async throws -> String {
        let user = try await post("/auth/register", ["username": .string(name), "password": "correct horse"])
        guard let id = UniqueID(text: user["id"]) else { throw StoppedEarly() }
        try await installation.users.grant("admin", to: UserID(id), origin: Origin(actor: "test"))
        return try await logIn(name)["access_token"]
    }
}
