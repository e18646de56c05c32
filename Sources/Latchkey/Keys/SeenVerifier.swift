import JOSE
package import Postgres

/// A service that fetches the JWKS and names itself. What it says is believed for looking and for waiting alone: anybody
/// may send it.
package struct SeenVerifier: Sendable, Equatable {
    package enum Source: Sendable {
        /// It said which keys it holds.
        case report
        /// It only named itself: the keys that stood in what it was answered.
        case answer
    }

    package let name: String
    package let seenAt: Instant
    /// Fetches of the JWKS, 304s among them.
    package let fetches: Int64
    package let kids: [String]
    package let source: Source

    /// Seconds. Who has not come for so long has gone, and nobody waits for it.
    package static let goneAfter: Int64 = 86_400

    package init(name: String, seenAt: Instant, fetches: Int64, kids: [String], source: Source) {
        self.name = name
        self.seenAt = seenAt
        self.fetches = fetches
        self.kids = kids
        self.source = source
    }

    package func holds(_ kid: String) -> Bool {
        kids.contains { $0.isSameText(as: kid) }
    }

    /// Those that are still about and do not hold the key.
    package static func without(_ kid: String, among verifiers: [SeenVerifier], now: Instant) -> [SeenVerifier] {
        verifiers.filter { $0.seenAt > now - goneAfter && !$0.holds(kid) }
    }
}
