/// Lets a few tests at a time run nodes. Nodes keep deadlines of two seconds, which a hundred installations at once on two
/// cores would miss, and the cluster's connections are counted.
actor Turnstile {
    static let shared = Turnstile(places: 4)

    private var places: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    private init(places: Int) {
        self.places = places
    }

    func enter() async {
        if places > 0 {
            places -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    func leave() {
        if waiting.isEmpty { places += 1 } else { waiting.removeFirst().resume() }
    }
}

/// Awaits what nobody announces: asks every few milliseconds until it holds.
/// - Returns: whether it came to hold within `limit`.
package func becomesTrue(
    within limit: Duration = .seconds(60), _ condition: @Sendable () async throws -> Bool
) async rethrows -> Bool {
    let end = ContinuousClock.now + limit
    while true {
        if try await condition() { return true }
        guard ContinuousClock.now < end else { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
}

/// The same for a value: asks until there is one, nil at the limit.
package func becomes<R: Sendable>(
    within limit: Duration = .seconds(60), _ value: @Sendable () async throws -> R?
) async rethrows -> R? {
    let end = ContinuousClock.now + limit
    while true {
        if let found = try await value() { return found }
        guard ContinuousClock.now < end else { return nil }
        try? await Task.sleep(for: .milliseconds(5))
    }
}
