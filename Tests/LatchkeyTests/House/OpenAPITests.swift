import Hummingbird
import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOHTTP1
import Testing

@testable import Latchkey

@Suite("openapi.yaml")
struct OpenAPITests {
    /// The router of a node, without the refusals of methods that a path has not. It opens no connection.
    static func routes() throws -> Set<OpenAPIDocument.Operation> {
        var settings = try TestInstallation.defaults("host=/nowhere", keys: "/nowhere")
        settings.issuer = "http://127.0.0.1:1"
        let installation = Installation(
            settings, masterKeys: try MasterKeys([1: .init([UInt8](repeating: 1, count: 32))]),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { installation.close() }
        return Set(
            Node(installation).routes().routes.filter { $0.method != .head }
                .map { OpenAPIDocument.Operation(method: $0.method.rawValue, path: $0.path.description) })
    }

    @Test("describes every route, and no other")
    func routes() throws {
        let documented = Set(try OpenAPIDocument().operations.keys)
        let served = try Self.routes()
        #expect(served.subtracting(documented).map(\.description).sorted() == [])
        #expect(documented.subtracting(served).map(\.description).sorted() == [])
    }

    @Test("asks for a bearer where the router guards, and nowhere else")
    func guards() async throws {
        let document = try OpenAPIDocument()
        try await TestInstallation.run { it in
            for (operation, scopes) in document.operations {
                let path = operation.path.replacing("{sid}", with: "x").replacing("{user}", with: "x")
                    .replacing("{role}", with: "x").replacing("{client}", with: "x").replacing("{kid}", with: "x")
                    .replacing("{list}", with: "x")
                    // It never ends: a refusal does.
                    .replacing("/stream", with: "/stream?nonce=.")
                let answer = try await it.node.send(.init(rawValue: operation.method), path)
                if scopes == nil {
                    #expect(answer["code"] != "missing-token", "\(operation)")
                    #expect(answer.status != 403, "\(operation)")
                } else {
                    #expect(answer.status == 401, "\(operation)")
                    #expect(answer.header("www-authenticate") == #"Bearer realm="latchkey""#, "\(operation)")
                    if !path.hasPrefix("/oauth2") { #expect(answer["code"] == "missing-token", "\(operation)") }
                }
            }
        }
    }

    /// Rejections that show their RFC 6749 face alone, since nothing outside /oauth2 throws them.
    private static let underOAuthAlone: Set = [
        "invalid-grant", "unsupported-grant-type", "unauthorized-client", "token-of-another-client",
    ]

    /// Rejections that the enum has for later and nothing throws yet.
    private static let thrownByNobody = [
        "unsupported-token-type": "unsupportedTokenType", "confirmation-needed": "confirmationNeeded",
    ]

    @Test("lists every problem code that a caller can meet, and no other")
    func codes() throws {
        let sources = try Repository.serverSources()
        let faces = try #require(sources.first { $0.name == "Rejection+Problem.swift" }).text
        var codes = Set(faces.matches(of: /code: "([a-z-]+)"/).map { String($0.1) })
        try #require(codes.count > 20)
        for source in sources {
            codes.formUnion(source.text.matches(of: /\.conflict\(code: "([a-z-]+)"/).map { String($0.1) })
        }
        for (code, name) in Self.thrownByNobody {
            try #require(codes.contains(code))
            for source in sources where source.folder != "HTTP" {
                #expect(!source.text.contains(".\(name)"), "\(source.name) throws \(code): openapi.yaml must list it")
            }
        }
        for code in Self.underOAuthAlone { try #require(codes.contains(code)) }
        let documented = try OpenAPIDocument().problemCodes
        #expect(Set(documented).count == documented.count)
        #expect(Set(documented) == codes.subtracting(Self.underOAuthAlone).subtracting(Self.thrownByNobody.keys))
    }
}
