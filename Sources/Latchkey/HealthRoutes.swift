import HTTPTypes
import Hummingbird
import JOSE

/// `GET /livez`: this process answers. `GET /readyz`: it may judge and mint, so that a balancer sends it requests; the
/// body says of each check how it stands.
struct HealthRoutes: Sendable {
    private let installation: Installation

    init(_ installation: Installation) {
        self.installation = installation
    }

    func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/livez") { _, _ in Response.json(["status": "alive"], caching: .noStore) }
        router.get("/readyz") { _, _ in
            let isFresh = installation.revocations.isFresh
            return Readiness(
                isFresh: isFresh, canSign: await installation.ring.canSign(),
                holdsMasterKey: installation.masterKeyRing.canMint, clockOffset: installation.clock.offset
            ).response
        }
    }
}

/// What a node must have to serve, and what an operator should know beside it.
struct Readiness: Sendable, Equatable {
    /// The database has answered and the list is complete as of less than two seconds ago.
    let isFresh: Bool
    let canSign: Bool
    /// The master key that new tokens are made under.
    var holdsMasterKey = true
    /// Seconds; nil before the first tick.
    let clockOffset: Double?

    var isReady: Bool { isFresh && canSign && holdsMasterKey }

    /// Verifiers go by wall clocks of their own: far from the database's they refuse what was just issued.
    var warnings: [String] {
        guard let clockOffset, abs(clockOffset) >= NodeClock.largestOffset else { return [] }
        let milliseconds = Int64(clockOffset * 1000)
        return ["the database's clock is \(milliseconds) ms ahead of this machine's: mend NTP on both"]
    }

    var body: JSONValue {
        .object(
            JSONObject([
                ("status", isReady ? "ready" : "unready"),
                (
                    "checks",
                    [
                        "revocations": isFresh ? "ok" : "stale: the database has not answered a tick for 2 s",
                        "signing_key": canSign
                            ? "ok"
                            : "no signing key that opens with this node's master keys, or that its token signs with",
                        "master_key": holdsMasterKey
                            ? "ok" : "the newest version has not come to this node: bring its file",
                        "clock": warnings.isEmpty ? "ok" : "apart",
                    ]
                ),
                ("warnings", warnings.isEmpty ? nil : .array(warnings.map { .string($0) })),
            ]))
    }

    var response: Response {
        isReady
            ? .json(body, caching: .noStore)
            : .json(body, status: .serviceUnavailable, caching: .noStore, headers: [.retryAfter: "1"])
    }
}
