import AsyncHTTPClient
import JOSE
import NIOCore
import NIOHTTP1

/// One party that asks the nodes for something, and writes down what it asked and what it was told.
struct TortureClient: Sendable {
    let ports: [Int]
    let history: History
    let account: Int

    /// How long it waits for an answer, and at which node it asks.
    struct Attempt: Sendable {
        let node: Int
        let milliseconds: Int64
    }

    private struct Answer {
        let status: Int
        let saysWhen: Bool
        let json: JSONObject
    }

    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration.singletonConfiguration
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    /// nil where none came.
    private func answer(
        _ attempt: Attempt, _ method: HTTPMethod, _ path: String, bearer token: String?, type: String?, body: [UInt8]?
    ) async -> Answer? {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(ports[attempt.node])\(path)")
        request.method = method
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        if let type { request.headers.add(name: "content-type", value: type) }
        if let body { request.body = .bytes(body) }
        do {
            let response = try await Self.client.execute(request, timeout: .milliseconds(attempt.milliseconds))
            let buffer = try await response.body.collect(upTo: 1 << 20)
            return Answer(
                status: Int(response.status.code), saysWhen: response.headers.first(name: "retry-after") != nil,
                json: (try? JSONValue.parse(Array(buffer.readableBytesView)))?.object ?? JSONObject())
        } catch {
            return nil
        }
    }

    private func outcome(of answer: Answer?, _ success: Int, refusals: Set<Int>) -> Operation.Outcome {
        guard let answer else { return .unknown }
        switch answer.status {
        case success: return .ok
        case 503 where answer.saysWhen: return .unknown
        // RFC 6749 §5.2: a refresh is refused by this word alone.
        case 400 where answer.json["error"]?.string != "invalid_grant": return absurd(answer)
        case let status where refusals.contains(status): return .refused(status)
        default: return absurd(answer)
        }
    }

    private func absurd(_ answer: Answer) -> Operation.Outcome {
        .absurd("\(answer.status) \(String(decoding: answer.json.encoded(), as: UTF8.self).prefix(300))")
    }

    /// Asks, and writes it down.
    private func ask(
        _ kind: Operation.Kind, _ attempt: Attempt, _ path: String, method: HTTPMethod = .POST,
        bearer token: String? = nil, tokenID: UniqueID? = nil, json: JSONValue? = nil, form: String? = nil,
        success: Int, refusals: Set<Int> = []
    ) async -> (Operation, JSONObject) {
        let type = json != nil ? "application/json" : form != nil ? "application/x-www-form-urlencoded" : nil
        let start = history.now
        let answer = await answer(
            attempt, method, path, bearer: token, type: type, body: json?.encoded() ?? form.map { Array($0.utf8) })
        let end = history.now
        let body = answer?.json ?? JSONObject()
        var outcome = outcome(of: answer, success, refusals: refusals)
        var (minted, keyID): (Operation.Minted?, String?)
        if outcome == .ok {
            switch kind {
            case .logIn, .refresh:
                minted = Operation.Minted(body)
                if minted == nil { outcome = .absurd("no tokens") }
                if case .refresh(let sid, _) = kind, minted?.sid != sid {
                    outcome = .absurd("another session's tokens")
                }
            case .rotate: keyID = body["kid"]?.string
            default: break
            }
        }
        let operation = Operation(
            account: account, kind: kind, node: attempt.node, start: start, end: end, outcome: outcome, minted: minted,
            tokenID: tokenID, keyID: keyID)
        history.record(operation)
        return (operation, body)
    }

    // MARK: what can be asked

    /// Of the account's number and the password's.
    static func name(_ account: Int) -> String { "person-\(account)" }
    static func password(_ number: Int) -> String { "correct horse \(number)" }

    func register(_ password: Int, _ attempt: Attempt) async -> Operation {
        await ask(
            .register(password: password), attempt, "/auth/register",
            json: ["username": .string(Self.name(account)), "password": .string(Self.password(password))], success: 201,
            refusals: [409]
        ).0
    }

    func logIn(_ password: Int, _ attempt: Attempt) async -> (Operation, TokenStore?) {
        let (operation, body) = await ask(
            .logIn(password: password), attempt, "/auth/login",
            json: ["username": .string(Self.name(account)), "password": .string(Self.password(password))], success: 200,
            refusals: [401])
        return (operation, TokenStore(operation, body))
    }

    func refresh(_ store: TokenStore, _ tokens: TokenStore.Tokens, _ attempt: Attempt) async -> Operation {
        let (operation, body) = await ask(
            .refresh(store.sid, generation: tokens.generation), attempt, "/oauth2/token",
            form: "grant_type=refresh_token&refresh_token=\(tokens.refresh)", success: 200, refusals: [400])
        if let tokens = TokenStore.Tokens(operation, body) { store.write(tokens) }
        return operation
    }

    func use(_ store: TokenStore, _ tokens: TokenStore.Tokens, _ attempt: Attempt) async -> Operation {
        await ask(
            .use(store.sid), attempt, "/account", method: .GET, bearer: tokens.access, tokenID: tokens.tokenID,
            success: 200, refusals: [401]
        ).0
    }

    func revoke(_ store: TokenStore, _ attempt: Attempt) async -> Operation {
        await ask(
            .revoke(store.sid), attempt, "/oauth2/revoke", form: "token=\(store.tokens.refresh)", success: 200
        ).0
    }

    func revokeAccess(_ store: TokenStore, _ tokens: TokenStore.Tokens, _ attempt: Attempt) async -> Operation {
        await ask(
            .revokeAccess(store.sid), attempt, "/oauth2/revoke", tokenID: tokens.tokenID,
            form: "token=\(tokens.access)", success: 200
        ).0
    }

    func logOut(_ store: TokenStore, _ attempt: Attempt) async -> Operation {
        let tokens = store.tokens
        return await ask(
            .logOut(store.sid), attempt, "/auth/logout", bearer: tokens.access, tokenID: tokens.tokenID, success: 204,
            refusals: [401]
        ).0
    }

    func changePassword(from old: Int, to new: Int, by store: TokenStore, _ attempt: Attempt) async -> Operation {
        await ask(
            .changePassword(to: new, keeping: store.sid), attempt, "/account/password", bearer: store.tokens.access,
            json: ["current": .string(Self.password(old)), "new": .string(Self.password(new))], success: 204,
            refusals: [401]
        ).0
    }

    func setStatus(_ kind: Operation.Kind, by administrator: String, _ attempt: Attempt) async -> Operation {
        let word = kind == .disable ? "disable" : "enable"
        return await ask(
            kind, attempt, "/admin/users/\(Self.name(account))/\(word)", bearer: administrator, success: 204
        ).0
    }

    func rotate(by administrator: String, _ attempt: Attempt) async -> Operation {
        await ask(
            .rotate, attempt, "/admin/keys/rotate", bearer: administrator, success: 202, refusals: [409]
        ).0
    }
}

extension Operation.Minted {
    /// From an answer of RFC 6749 §5.1, by the words of `docs/refresh.md` and RFC 9068.
    init?(_ body: JSONObject) {
        guard let refresh = body["refresh_token"]?.string, let access = body["access_token"]?.string,
            let bytes = Base64URL.decode(refresh.utf8.dropFirst(5)), bytes.count == 42
        else { return nil }
        let parts = access.split(separator: ".").map { Base64URL.decode($0.utf8) ?? [] }
        guard parts.count == 3, let header = (try? JSONValue.parse(parts[0]))?.object,
            let claims = (try? JSONValue.parse(parts[1]))?.object,
            let sid = (claims["sid"]?.string).flatMap({ UniqueID(text: $0) }),
            let tokenID = (claims["jti"]?.string).flatMap({ UniqueID(text: $0) }),
            let expiresAt = claims["exp"]?.int, let signer = header["kid"]?.string
        else { return nil }
        self.init(
            sid: sid, tokenID: tokenID, generation: bytes[20..<24].reduce(0) { $0 << 8 | UInt32($1) },
            expiresAt: expiresAt, signer: signer)
    }
}
