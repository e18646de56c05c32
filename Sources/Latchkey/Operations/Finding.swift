/// What `latchkey doctor` looks at, in its order.
package enum Examination: String, Sendable, CaseIterable {
    case masterKeys = "master-keys"
    case database
    case server
    case durability
    case migrations
    case clock
    case nodes
    case signingKey = "signing-key"
    case keySchedule = "key-schedule"
    case feed
    case ring = "revocation-ring"
    case commits
    case connections
    case argon2
}

/// How one of them stands. Holds nothing secret.
package struct Finding: Sendable, Equatable {
    package enum Level: String, Sendable {
        case ok, warn, fail
    }

    package let examination: Examination
    package let level: Level
    /// What was found.
    package let text: String
    /// What mends it; nil where nothing is to be mended.
    package let advice: String?

    package init(_ examination: Examination, _ level: Level, _ text: String, advice: String? = nil) {
        self.examination = examination
        self.level = level
        self.text = text
        self.advice = advice
    }
}
