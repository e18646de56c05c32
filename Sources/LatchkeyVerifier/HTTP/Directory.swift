internal import Synchronization

/// Where keys and revocations are, asked of the issuer once an hour, and at once after something was not as it says.
final class Directory: Sendable {
    private struct Known {
        let directions: Directions
        let readAt: ContinuousClock.Instant
    }

    private static let life = Duration.seconds(3600)
    private static let longestDocument = 1 << 18

    private let issuer: String
    private let discovery: Endpoint?
    private let known: Mutex<Known?>

    /// Asks `discovery`.
    init(issuer: String, discovery: Endpoint) {
        self.issuer = issuer
        self.discovery = discovery
        known = Mutex(nil)
    }

    /// Knows it for ever.
    init(issuer: String, fixed directions: Directions) {
        self.issuer = issuer
        discovery = nil
        known = Mutex(Known(directions: directions, readAt: .now))
    }

    func directions(_ client: IssuerClient) async throws -> Directions {
        if let known = known.withLock({ $0 }), discovery == nil || .now - known.readAt < Self.life {
            return known.directions
        }
        guard let discovery else { throw FetchFailure.malformed("no address") }
        let answer = try await client.get(discovery.text, headers: [], limit: Self.longestDocument, within: .seconds(5))
        guard answer.status == 200 else { throw FetchFailure.status(answer.status) }
        let directions = try Directions(discovery: answer.body, issuer: issuer)
        known.withLock { $0 = Known(directions: directions, readAt: .now) }
        return directions
    }

    /// Something was not as it says: it is asked again before the next use.
    func distrust() {
        if discovery != nil { known.withLock { $0 = nil } }
    }
}
