import Foundation
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

/// Gives each case of a suite a database of its own on the cluster of this process.
struct FreshDatabase: SuiteTrait, TestTrait, TestScoping {
    @TaskLocal static var connectionString = ""

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        try await TestCluster.withDatabase { connectionString in
            try await Self.$connectionString.withValue(connectionString) { try await function() }
        }
    }

    /// The pool and the lanes of one node on this case's database; patient, since the tests run side by side.
    static func open(_ change: (inout DatabaseConfiguration) -> Void = { _ in }) -> Database {
        var configuration = DatabaseConfiguration(connectionString: connectionString)
        configuration.statementTimeout = 60_000_000_000
        configuration.connectTimeout = 60_000_000_000
        change(&configuration)
        return Database(configuration)
    }
}

extension Trait where Self == FreshDatabase {
    static var freshDatabase: Self { FreshDatabase() }
}

extension Database {
    /// The one value of a statement's one row, named `value`.
    func value<T: PostgresValue>(_ query: Query, as type: T.Type = T.self) async throws -> T {
        try await self.query(query).one().decode("value")
    }

    /// Waits until the statement, asked again and again, answers true.
    func wait(until query: Query) async throws {
        while try await !value(query, as: Bool.self) {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// What a grouped statement ends with.
    func groupedOutcome(_ query: Query) async -> Result<ResultSet, PostgresError> {
        do throws(PostgresError) { return .success(try await grouped(query)) } catch { return .failure(error) }
    }
}

extension Result where Failure == PostgresError {
    var error: PostgresError? {
        if case .failure(let error) = self { error } else { nil }
    }
}

extension Database {
    /// Returns once the backend's process is gone and connections have been looked at since: `pg_terminate_backend` answers
    /// before the socket is closed, and what is sent in between has an unknown outcome.
    func noticesEnd(of backend: Int32) async throws(PostgresError) {
        await untilGone(backend)
        try await query("SELECT 1")
    }
}

func untilGone(_ backend: Int32) async { _ = await becomesTrue { access("/proc/\(backend)", F_OK) != 0 } }
