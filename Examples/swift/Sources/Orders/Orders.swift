import Hummingbird
import LatchkeyHummingbird
import LatchkeyVerifier

/// A resource service that verifies Latchkey's tokens offline and refuses what was revoked within a second.
///
///     ISSUER=http://127.0.0.1:8080 swift run
@main
struct Orders {
    static func main() async throws {
        let environment = Environment()
        let issuer = try environment.require("ISSUER")
        // Orders are worth more than an answer: where it is not known what is revoked, refuse.
        let verifier = try Verifier(
            issuer: issuer, audience: environment.get("AUDIENCE") ?? issuer, staleAfter: .seconds(5),
            whenStale: .refuse, name: "orders-hummingbird")

        let router = Router(context: BearerContext.self)
        router.group("orders").add(middleware: BearerMiddleware(verifier))
            .get { _, context in
                let token = try context.require(scope: "account")
                return Answer(orders: [], owner: token.subject)
            }
            .get("all") { _, context in
                try context.require(role: "admin")
                return Answer(orders: [], owner: nil)
            }
            .get("refunds") { _, context in
                try context.require(scope: "orders:refund")
                return Answer(orders: [], owner: nil)
            }

        let port = environment.get("PORT", as: Int.self) ?? 8000
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)), services: [verifier])
        try await application.runService()
    }
}

struct Answer: ResponseEncodable {
    let orders: [String]
    let owner: String?
}
