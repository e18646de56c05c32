import Foundation
import JOSE
import LatchkeyTesting
import LatchkeyVerifier
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

/// A registered client as it knows itself.
struct RegisteredClient: Sendable {
    let id: String
    let secret: String
    var method = "client_secret_basic"

    init(id: String, secret: String, method: String = "client_secret_basic") {
        self.id = id
        self.secret = secret
        self.method = method
    }

    init(_ answer: TestNode.Answer) throws {
        try #require([200, 201].contains(answer.status), "\(answer.status) \(answer["detail"])")
        self.init(
            id: answer["client_id"], secret: answer["client_secret"], method: answer["token_endpoint_auth_method"])
    }

    func with(secret: String) -> RegisteredClient { RegisteredClient(id: id, secret: secret, method: method) }

    /// RFC 6749 App. B: all but unreserved characters are encoded.
    static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                String(UnicodeScalar(byte))
            case 0x20: "+"
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }

    static func basic(_ text: String) -> (String, String) {
        ("authorization", "Basic " + Data(text.utf8).base64EncodedString())
    }

    var basic: (String, String) { Self.basic("\(Self.encoded(id)):\(Self.encoded(secret))") }

    /// The form, with this client's authentication by its own method.
    func post(_ node: TestNode, _ path: String, _ pairs: [(String, String)]) async throws -> TestNode.Answer {
        switch method {
        case "client_secret_post":
            return try await node.form(
                path, pairs + [("client_id", Self.encoded(id)), ("client_secret", Self.encoded(secret))])
        case "none": return try await node.form(path, pairs + [("client_id", id)])
        default: return try await node.send(form: pairs, to: path, headers: [basic])
        }
    }

    /// `client_credentials`.
    func token(
        _ node: TestNode, scope: String? = nil, resources: [String] = []
    ) async throws -> TestNode.Answer {
        try await post(
            node, "/oauth2/token",
            [("grant_type", "client_credentials")] + (scope.map { [("scope", Self.encoded($0))] } ?? [])
                + resources.map { ("resource", Self.encoded($0)) })
    }
}

extension TestNode {
    func send(
        form pairs: [(String, String)], to path: String, headers: [(String, String)]
    ) async throws -> Answer {
        try await send(
            .POST, path, headers: headers + [("content-type", "application/x-www-form-urlencoded")],
            body: Array(pairs.map { "\($0)=\($1)" }.joined(separator: "&").utf8))
    }

    func patch(_ path: String, _ json: JSONValue, bearer token: String) async throws -> Answer {
        try await send(
            .PATCH, path, headers: [("authorization", "Bearer \(token)"), ("content-type", "application/json")],
            body: json.encoded())
    }

    func newClient(
        _ administrator: String, scope: String = "", method: String = "client_secret_basic",
        grants: [String] = ["client_credentials"]
    ) async throws -> RegisteredClient {
        try RegisteredClient(
            try await post(
                "/admin/clients",
                [
                    "client_name": "a service", "scope": .string(scope), "token_endpoint_auth_method": .string(method),
                    "grant_types": .array(grants.map { .string($0) }),
                ], bearer: administrator))
    }

    /// Whether this node's own API takes a client's token that carries `users:read`.
    func takes(_ token: String) async throws -> Bool {
        let answer = try await get("/admin/users?limit=1", bearer: token)
        if answer.status == 200 { return true }
        try #require(answer.status == 401, "\(answer.status)")
        #expect(answer["code"] == "invalid-token")
        return false
    }
}

extension TestInstallation {
    /// Refused with RFC 6749 §5.2's words, and with nothing else.
    func expectRefused(
        _ answer: TestNode.Answer, _ status: Int, _ error: String, _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(answer.status == status, comment, sourceLocation: sourceLocation)
        #expect(answer["error"] == error, comment, sourceLocation: sourceLocation)
        #expect(answer.header("cache-control") == "no-store", comment, sourceLocation: sourceLocation)
        #expect(answer.json["access_token"] == nil, comment, sourceLocation: sourceLocation)
        #expect(
            answer.header("www-authenticate") == (status == 401 ? #"Basic realm="latchkey""# : nil), comment,
            sourceLocation: sourceLocation)
    }

    /// Runs `body` while a client's row is locked, then lets go.
    func holdingClient<R: Sendable>(_ id: String, _ body: () async throws -> R) async throws -> R {
        try await database.transaction(timeout: 30_000_000_000) { transaction in
            try await transaction.hold("SELECT id FROM clients WHERE id = \(id) FOR NO KEY UPDATE")
            let result = try await body()
            try await transaction.commit()
            return result
        }
    }

    func epoch(_ client: RegisteredClient) async throws -> UniqueID {
        try await database.query("SELECT epoch FROM clients WHERE id = \(client.id)").one().decode("epoch")
    }
}
