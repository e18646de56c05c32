import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JOSE
import Logging
import NIOCore
import Synchronization
import Testing

@testable import Latchkey

@Suite("The edge")
struct ErrorMiddlewareTests {
    struct Secretive: Error, CustomStringConvertible {
        let description = "canary-in-description"
    }
    struct Speaking: LoggableError {
        let secret = "canary-in-error"
        let loggable = "the disk is full"
    }

    /// Every route that these tests ask for, and what was logged.
    static func edge() -> (app: some ApplicationProtocol, log: Lines) {
        let router = Router(context: LatchkeyRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: ErrorMiddleware())
        for (index, row) in RejectionTests.table.enumerated() {
            let rejection = row.0
            router.get("reject/\(index)") { _, _ -> Response in throw rejection }
            router.get("oauth2/reject/\(index)") { _, _ -> Response in throw rejection }
        }
        router.get("secretive") { _, _ -> Response in throw Secretive() }
        router.get("oauth2/secretive") { _, _ -> Response in throw Secretive() }
        router.get("speaking") { _, _ -> Response in throw Speaking() }
        router.get("teapot") { _, _ -> Response in throw HTTPError(.init(code: 418), message: "canary-in-message") }
        router.get("broken") { _, _ -> Response in throw HTTPError(.badGateway, message: "canary-in-message") }
        router.get("cancelled") { _, _ -> Response in throw CancellationError() }
        router.get("own") { _, _ in
            Response(status: .gone, headers: [.cacheControl: "max-age=1"], body: .init(byteBuffer: .init(string: "x")))
        }
        router.get("items/:id") { _, context in Response.json(["id": .string(context.requestID)]) }
        router.delete("items/:id") { _, _ in Response.noContent() }
        router.post("json") { request, _ in
            let body = try await JSONBody(request, limit: 100)
            return Response.json(["name": .string(try body.string("name"))], caching: .noStore)
        }
        router.post("oauth2/form") { request, _ in
            let form = try await FormBody(request, limit: 100)
            return Response.json(["name": .string(try form.required("name"))])
        }
        router.refuseOtherMethods(heads: .generated)
        let log = Lines()
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .trace) { line in log.append(line) }
        }
        return (Application(router: router, logger: logger), log)
    }

    final class Lines: Sendable {
        private let lines = Mutex<[[UInt8]]>([])
        func append(_ line: [UInt8]) { lines.withLock { $0.append(line) } }
        var text: String { lines.withLock { String(decoding: $0.joined(), as: UTF8.self) } }
        var objects: [JSONObject] {
            lines.withLock { $0.compactMap { try? JSONValue.parse($0).object } }
        }
    }

    static func object(_ response: TestResponse) throws -> JSONObject {
        try #require(try JSONValue.parse(Array(response.body.readableBytesView)).object)
    }

    @Test("answers every rejection in the face of its path")
    func rejections() async throws {
        try await Self.edge().app.test(.router) { client in
            for (index, row) in RejectionTests.table.enumerated() {
                try await client.execute(uri: "/reject/\(index)", method: .get) { response in
                    #expect(response.status.code == row.1)
                    #expect(response.headers[.contentType] == "application/problem+json")
                    #expect(response.headers[.cacheControl] == "no-store")
                    #expect(response.headers[.wwwAuthenticate] == row.0.problem.headers[.wwwAuthenticate])
                    let body = try Self.object(response)
                    #expect(body["code"]?.string == row.2)
                }
                try await client.execute(uri: "/oauth2/reject/\(index)?x=y", method: .get) { response in
                    #expect(response.status.code == row.3)
                    #expect(response.headers[.contentType] == "application/json")
                    #expect(response.headers[.cacheControl] == "no-store")
                    #expect(response.headers[.retryAfter] == row.0.oauthError.headers[.retryAfter])
                    let body = try Self.object(response)
                    #expect(body["error"]?.string == row.4)
                }
            }
        }
    }

    @Test(
        "says nothing of a fault but the request id, and logs its type", arguments: ["/secretive", "/oauth2/secretive"])
    func fault(path: String) async throws {
        let (app, log) = Self.edge()
        try await app.test(.router) { client in
            let headers: HTTPFields = [.xRequestID: "abc", .authorization: "Bearer canary-in-header"]
            try await client.execute(uri: path + "?code=canary-in-query", method: .get, headers: headers) { response in
                #expect(response.status == .internalServerError)
                let body = try Self.object(response)
                if path == "/secretive" {
                    #expect(body["code"] == "internal-error" && body["request_id"] == "abc")
                } else {
                    #expect(body["error"] == "server_error")
                    #expect(body["error_description"]?.string?.contains("abc") == true)
                }
                #expect(!String(buffer: response.body).contains("canary"))
            }
        }
        #expect(!log.text.contains("canary"))
        let fault = try #require(log.objects.first { $0["message"] == "request failed" })
        #expect(fault["level"] == "error" && fault["error_type"] == "Secretive" && fault["request_id"] == "abc")
        #expect(fault["error"] == nil)
    }

    @Test("logs of an error only the text that it marks as safe")
    func loggable() async throws {
        let (app, log) = Self.edge()
        try await app.test(.router) { client in
            try await client.execute(uri: "/speaking", method: .get) { response in
                #expect(response.status == .internalServerError)
                #expect(!String(buffer: response.body).contains("disk"))
            }
        }
        #expect(!log.text.contains("canary"))
        #expect(log.objects.contains { $0["error"] == "the disk is full" })
    }

    @Test(
        "gives Hummingbird's own errors a face, without their text",
        arguments: [
            ("/teapot", 400, "invalid-request"), ("/broken", 500, "internal-error"), ("/cancelled", 503, "unavailable"),
            ("/nowhere", 404, "not-found"), ("/", 404, "not-found"), ("/items", 404, "not-found"),
        ])
    func foreignErrors(path: String, status: Int, code: String) async throws {
        let (app, log) = Self.edge()
        try await app.test(.router) { client in
            try await client.execute(uri: path, method: .get) { response in
                #expect(response.status.code == status)
                #expect(response.headers[.xRequestID] != nil && response.headers[.xContentTypeOptions] == "nosniff")
                let body = try Self.object(response)
                #expect(body["code"]?.string == code)
                #expect(!String(buffer: response.body).contains("canary"))
            }
        }
        #expect(!log.text.contains("canary"))
    }

    @Test("answers an unknown path under /oauth2 in the OAuth face")
    func unknownOAuthPath() async throws {
        try await Self.edge().app.test(.router) { client in
            for path in ["/oauth2", "/oauth2/nowhere"] {
                try await client.execute(uri: path, method: .post) { response in
                    #expect(response.status == .notFound)
                    let body = try Self.object(response)
                    #expect(body["error"] == "invalid_request")
                }
            }
            try await client.execute(uri: "/oauth2x", method: .post) { response in
                let body = try Self.object(response)
                #expect(body["code"] == "not-found")
            }
        }
    }

    @Test(
        "answers 405 with the methods that a path has",
        arguments: [
            (HTTPRequest.Method.post, "/items/1", "DELETE, GET, HEAD, OPTIONS"),
            (.put, "/items/1", "DELETE, GET, HEAD, OPTIONS"), (.trace, "/items/1", "DELETE, GET, HEAD, OPTIONS"),
            (.get, "/json", "OPTIONS, POST"), (.head, "/json", "OPTIONS, POST"),
            (.delete, "/oauth2/form", "OPTIONS, POST"),
        ])
    func methods(method: HTTPRequest.Method, path: String, allowed: String) async throws {
        try await Self.edge().app.test(.router) { client in
            try await client.execute(uri: path, method: method) { response in
                #expect(response.status == .methodNotAllowed)
                #expect(response.headers[.allow] == allowed)
                #expect(response.headers[.xRequestID] != nil)
                if method == .head {
                    #expect(response.body.readableBytes == 0)
                } else {
                    let body = try Self.object(response)
                    #expect(body["code"] == "method-not-allowed" || body["error"] == "invalid_request")
                }
            }
            try await client.execute(uri: "/items/1", method: .head) { response in
                #expect(response.status == .ok)
                #expect(response.body.readableBytes == 0)
            }
        }
    }

    @Test("lets a handler's own answer pass")
    func ownAnswer() async throws {
        try await Self.edge().app.test(.router) { client in
            try await client.execute(uri: "/own", method: .get) { response in
                #expect(response.status == .gone && String(buffer: response.body) == "x")
                #expect(response.headers[.cacheControl] == "max-age=1" && response.headers[.xRequestID] != nil)
            }
        }
    }

    @Test("takes a request id that can do no harm", arguments: ["a", "A-Z.0_9", String(repeating: "x", count: 64)])
    func givenID(id: String) async throws {
        try await Self.edge().app.test(.router) { client in
            try await client.execute(uri: "/items/1", method: .get, headers: [.xRequestID: id]) { response in
                #expect(response.headers[.xRequestID] == id)
                let body = try Self.object(response)
                #expect(body["id"]?.string == id)
            }
        }
    }

    @Test(
        "makes one of its own in place of any other",
        arguments: ["", String(repeating: "x", count: 65), "a b", "a\"b", "a\u{e9}", "a/b", "a\u{301}", "../x", "a,b"])
    func ownID(given: String) async throws {
        try await Self.edge().app.test(.router) { client in
            try await client.execute(uri: "/items/1", method: .get, headers: [.xRequestID: given]) { response in
                let id = try #require(response.headers[.xRequestID])
                #expect(id.utf8.count == 32 && id != given)
                #expect(id.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) })
            }
        }
    }

    @Test("logs one line for a request: the route's template, never the path or the query")
    func requestLine() async throws {
        let (app, log) = Self.edge()
        try await app.test(.router) { client in
            try await client.execute(uri: "/items/canary?code=canary", method: .get, headers: [.xRequestID: "r1"]) {
                _ in
            }
            try await client.execute(uri: "/canary/canary?code=canary", method: .get) { _ in }
            let canary = try #require(HTTPRequest.Method("CANARY"))
            try await client.execute(uri: "/items/canary", method: canary) { _ in }
        }
        let lines = log.objects.filter { $0["message"] == "request" }
        try #require(lines.count == 3)
        #expect(lines[0]["route"] == "/items/{id}" && lines[0]["method"] == "GET" && lines[0]["status"] == 200)
        #expect(lines[0]["request_id"] == "r1" && lines[0]["level"] == "info" && lines[0]["duration_ms"] != nil)
        #expect(lines[0]["hb.request.id"] == nil)
        #expect(lines[1]["status"] == 404 && lines[2]["method"] == "other")
        #expect(!log.text.contains("canary") && !log.text.contains("CANARY"))
    }

    @Test(
        "refuses a JSON body that it does not take",
        arguments: [
            ("{\"name\":\"a\"}", "application/json", 200, nil),
            ("{\"name\":\"a\"}", nil, 415, "unsupported-media-type"),
            ("{\"name\":\"a\"}", "text/plain", 415, "unsupported-media-type"),
            ("", "application/json", 400, "bad-json"),
            ("{\"name\":\"a\",}", "application/json", 400, "bad-json"),
            ("{\"name\":1}", "application/json", 400, "wrong-type"), ("{}", "application/json", 400, "missing-field"),
            (String(repeating: " ", count: 101), "application/json", 413, "body-too-large"),
            (String(repeating: " ", count: 300_000), "application/json", 413, "body-too-large"),
        ] as [(String, String?, Int, String?)])
    func jsonEdge(text: String, type: String?, status: Int, code: String?) async throws {
        var headers = HTTPFields()
        headers[.contentType] = type
        try await Self.edge().app.test(.router) { [headers] client in
            let body = ByteBuffer(string: text)
            try await client.execute(uri: "/json", method: .post, headers: headers, body: body) { response in
                #expect(response.status.code == status)
                #expect(response.headers[.cacheControl] == "no-store")
                let body = try Self.object(response)
                #expect(body["code"]?.string == code)
            }
        }
    }

    @Test(
        "refuses a form that it does not take",
        arguments: [
            ("name=a", "application/x-www-form-urlencoded", 200, nil),
            ("name=a", "application/json", 415, "invalid_request"),
            ("name=a&name=b", "application/x-www-form-urlencoded", 400, "invalid_request"),
            ("", "application/x-www-form-urlencoded", 400, "invalid_request"),
            (String(repeating: "a", count: 101), "application/x-www-form-urlencoded", 413, "invalid_request"),
        ] as [(String, String, Int, String?)])
    func formEdge(text: String, type: String, status: Int, error: String?) async throws {
        try await Self.edge().app.test(.router) { client in
            let headers: HTTPFields = [.contentType: type]
            let body = ByteBuffer(string: text)
            try await client.execute(uri: "/oauth2/form", method: .post, headers: headers, body: body) { response in
                #expect(response.status.code == status)
                let body = try Self.object(response)
                #expect(body["error"]?.string == error)
            }
        }
    }
}
