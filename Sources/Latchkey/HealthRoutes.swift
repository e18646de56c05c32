import Hummingbird
import JOSE

/// `GET /livez`: this process answers. `GET /readyz`: it may judge and mint, so that a balancer sends it requests.
struct HealthRoutes: Sendable {
    private let installation: Installation

    init(_ installation: Installation) {
        self.installation = installation
    }

    func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/livez") { _, _ in Response.json(["status": "alive"], caching: .noStore) }
        router.get("/readyz") { _, _ in
            guard installation.revocations.isFresh, await installation.ring.canSign() else {
                throw Rejection.unavailable(retryAfter: 1)
            }
            return Response.json(["status": "ready"], caching: .noStore)
        }
    }
}
