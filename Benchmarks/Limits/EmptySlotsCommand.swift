import ArgumentParser
import Latchkey
import Postgres

/// The service's own purge of the list's spent slots, and how long a reader of the list waits for it meanwhile.
struct EmptySlotsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "empty-slots", abstract: "Empties the spent slots of the revocation list, as the service does.")

    func run() async throws {
        guard let url = ProcessEnvironment.databaseURL else {
            throw ValidationError("LATCHKEY_DATABASE_URL is not set: feed.py sets it")
        }
        let database = Database(DatabaseConfiguration(connectionString: url))
        defer { database.shutDown() }
        let reader = Task {
            var longest = Duration.zero
            while !Task.isCancelled {
                let asked = ContinuousClock.now
                do {
                    _ = try await database.query("SELECT seq FROM revocation_entries ORDER BY seq DESC LIMIT 1")
                } catch  where Task.isCancelled {
                    break  // It was under way at the end.
                }
                longest = max(longest, .now - asked)
                try? await Task.sleep(for: .milliseconds(1))
            }
            return longest
        }
        // Connections are made by then: what is timed is the purge.
        try await Task.sleep(for: .milliseconds(200))
        let measure = Measure()
        var left = 0
        let emptied = try await RevocationRing(database, clock: NodeClock()).emptySpentSlots { _, _ in left += 1 }
        reader.cancel()
        let (seconds, attoseconds) = try await reader.value.components
        measure.print(
            count: emptied,
            ["left": Double(left), "longest_wait": Double(seconds) + Double(attoseconds) / 1e18])
    }
}
