import Hummingbird
import LatchkeyHummingbird
import LatchkeyVerifier
import Logging
import ServiceLifecycle

// What the articles of both libraries show, so that it compiles: `DocumentationTests` holds the two equal.

enum Verdict: Equatable {
    case allowed(user: String)
    case forbidden
    case unauthorized
    case tryAgainLater
}

func documentedVerifier() throws -> Verifier {
    let verifier = try Verifier(
        issuer: "https://id.example",
        audience: "https://orders.example",
        staleAfter: .seconds(5),
        whenStale: .refuse,
        name: "orders/1")
    return verifier
}

func documentedLife(verifier: Verifier, server: some Service, logger: Logger) async throws {
    let group = ServiceGroup(services: [verifier, server], logger: logger)
    try await group.run()
}

func documentedReadiness(verifier: Verifier) async throws {
    try await verifier.waitUntilReady(within: .seconds(10))
}

func documentedVerdict(verifier: Verifier, bearer: String) async -> Verdict {
    do {
        let token = try await verifier.verify(bearer)
        guard token.has(scope: "orders:write") else { return .forbidden }
        return .allowed(user: token.subject)
    } catch .stale {
        return .tryAgainLater
    } catch {
        return .unauthorized
    }
}

func documentedWait(verifier: Verifier, position: String) async throws {
    try await verifier.waitUntilApplied(position, within: .seconds(1))
}

func documentedServer(verifier: Verifier) -> some ApplicationProtocol {
    let router = Router(context: BearerContext.self)
    router.group("orders")
        .add(middleware: BearerMiddleware(verifier, scopes: ["orders:read"]))
        .get { _, context in
            let token = try context.require(scope: "orders:read")
            return "the orders of \(token.subject)"
        }
        .delete { _, context in
            try context.require(role: "clerk")
            return "gone"
        }
    let server = Application(router: router, services: [verifier])
    return server
}
