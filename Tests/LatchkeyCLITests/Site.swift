import AsyncHTTPClient
import JOSE
import NIOCore
import NIOHTTP1

/// A running service as its clients reach it: by a port of loopback alone.
struct Site: Sendable {
    let port: Int

    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]

        var json: JSONObject { (try? JSONValue.parse(body))?.object ?? JSONObject() }

        subscript(name: String) -> String { json[name]?.string ?? "" }
    }

    /// Never shut down: it ends with the tests. A node that is gone is told at once, not after ten seconds of retries.
    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration.singletonConfiguration
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    var issuer: String { "http://127.0.0.1:\(port)" }

    /// Whether a 503 is asked again for ten seconds, as every client does: a disk that stalls makes a node stale for a
    /// moment. Not where a test looks at each answer, or at the time that it takes.
    @TaskLocal static var asksAgain = true

    private func send(
        _ method: HTTPMethod, _ path: String, bearer token: String?, type: String? = nil, body: [UInt8]? = nil
    ) async throws -> Answer {
        let end = ContinuousClock.now + .seconds(10)
        while true {
            let answer = try await sendOnce(method, path, bearer: token, type: type, body: body)
            // Whether a node is ready is asked of it once: 503 is what it says then.
            guard Self.asksAgain, answer.status == 503, path != "/readyz", ContinuousClock.now < end else {
                return answer
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func sendOnce(
        _ method: HTTPMethod, _ path: String, bearer token: String?, type: String?, body: [UInt8]?
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: issuer + path)
        request.method = method
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        if let type { request.headers.add(name: "content-type", value: type) }
        if let body { request.body = .bytes(body) }
        let response = try await Self.client.execute(request, timeout: .seconds(30))
        let buffer = try await response.body.collect(upTo: 4 << 20)
        return Answer(status: Int(response.status.code), body: Array(buffer.readableBytesView))
    }

    func get(_ path: String, bearer token: String? = nil) async throws -> Answer {
        try await send(.GET, path, bearer: token)
    }

    func post(_ path: String, _ json: JSONValue, bearer token: String? = nil) async throws -> Answer {
        try await send(.POST, path, bearer: token, type: "application/json", body: json.encoded())
    }

    /// Values of letters, digits and `- . _` alone: nothing is encoded.
    func form(_ path: String, _ pairs: [(String, String)]) async throws -> Answer {
        try await send(
            .POST, path, bearer: nil, type: "application/x-www-form-urlencoded",
            body: Array(pairs.map { "\($0)=\($1)" }.joined(separator: "&").utf8))
    }

    func logIn(_ name: String, _ password: String = "correct horse") async throws -> Answer {
        try await post("/auth/login", ["username": .string(name), "password": .string(password)])
    }

    /// Registers and logs in.
    func newUser(_ name: String) async throws -> Answer {
        _ = try await post("/auth/register", ["username": .string(name), "password": "correct horse"])
        return try await logIn(name)
    }

    func refresh(_ token: String) async throws -> Answer {
        try await form("/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    func revoke(_ token: String) async throws -> Answer {
        try await form("/oauth2/revoke", [("token", token)])
    }

    /// How `GET /account` answers the bearer: 200, or 401 where the token is refused.
    func account(_ token: String) async throws -> Int {
        try await get("/account", bearer: token).status
    }

    /// The ids of the keys that stand in the JWKS, sorted.
    func keyIDs() async throws -> [String] {
        let keys = try await get("/.well-known/jwks.json").json["keys"]?.array ?? []
        return keys.compactMap { $0.object?["kid"]?.string }.sorted()
    }

    /// Asks until the token is refused or ten seconds are over; a node follows another's revocation by itself.
    func refusesSoon(_ token: String) async throws -> Bool {
        let limit = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < limit {
            if try await account(token) == 401 { return true }
        }
        return false
    }
}
