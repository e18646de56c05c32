import Testing

@testable import Postgres

@Suite("Migrations", .freshDatabase, .timeLimit(.minutes(2)))
struct MigratorTests {
    let database = FreshDatabase.open()

    private func migration(_ name: String, _ text: String) -> Migration {
        Migration(name: name, bytes: Array(text.utf8))
    }

    private var users: Migration {
        migration(
            "0001_create_users",
            """
            -- Several statements in one text; a semicolon in a literal: ';'
            CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL DEFAULT ';');
            CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT n; SELECT 2 * n $$;
            INSERT INTO users (name) VALUES ('first');
            """)
    }

    private var emails: Migration { migration("0002_add_emails", "ALTER TABLE users ADD COLUMN email text") }

    private func migrator(_ migrations: Migration...) -> Migrator { Migrator(database, migrations) }

    @Test func `They run once, in order`() async throws {
        #expect(try await migrator(users, emails).migrate() == ["0001_create_users", "0002_add_emails"])
        #expect(try await migrator(users, emails).migrate() == [])
        let count: Int64 = try await database.value("SELECT count(*) AS value FROM users WHERE email IS NULL")
        #expect(count == 1)
        #expect(try await database.value("SELECT twice(4) AS value", as: Int64.self) == 8)
        let names: [String] = try await database.value("SELECT array_agg(name ORDER BY name) AS value FROM migrations")
        #expect(names == ["0001_create_users", "0002_add_emails"])
    }

    @Test func `Eight nodes that start at once migrate once`() async throws {
        let nodes = (0..<8).map { _ in FreshDatabase.open() }
        let applied = try await withThrowingTaskGroup(of: [String].self) { group in
            for node in nodes { group.addTask { try await Migrator(node, [users, emails]).migrate() } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(applied.filter { !$0.isEmpty } == [["0001_create_users", "0002_add_emails"]])
        #expect(try await database.value("SELECT count(*) AS value FROM users", as: Int64.self) == 1)
        for node in nodes { node.shutDown() }
    }

    @Test func `The status names what is missing`() async throws {
        let both = ["0001_create_users", "0002_add_emails"]
        #expect(try await migrator(users, emails).status() == .behind(missing: both))
        _ = try await migrator(users).migrate()
        #expect(try await migrator(users).status() == .current)
        #expect(try await migrator(users, emails).status() == .behind(missing: ["0002_add_emails"]))
    }

    @Test func `An edited migration is found, and nothing is run`() async throws {
        _ = try await migrator(users).migrate()
        let edited = migration("0001_create_users", users.text + " ")
        #expect(try await migrator(edited, emails).status() == .edited("0001_create_users"))
        await #expect(throws: MigrationError.edited("0001_create_users")) {
            try await migrator(edited, emails).migrate()
        }
        #expect(try await migrator(users, emails).status() == .behind(missing: ["0002_add_emails"]))
    }

    @Test func `A database of a newer version is left alone`() async throws {
        _ = try await migrator(users, emails).migrate()
        #expect(try await migrator(users).status() == .ahead(unknown: ["0002_add_emails"]))
        await #expect(throws: MigrationError.ahead(unknown: ["0002_add_emails"])) {
            try await migrator(users).migrate()
        }
    }

    @Test(arguments: [
        ("CREATE TABLE half (); SELECT 1 / 0; CREATE TABLE other ()", "22012"),
        ("CREATE TABLE half (); SELEC", "42601"),
        ("CREATE TABLE half (); INSERT INTO users (id) VALUES (1)", "23505"),
    ])
    func `One that fails leaves nothing half done and holds no lock`(text: String, state: String) async throws {
        let broken = migration("0002_break", text)
        let error = await #expect(throws: MigrationError.self) { try await migrator(users, broken).migrate() }
        guard case .failed("0002_break", let cause) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.sqlState == state)
        #expect(try await database.value("SELECT to_regclass('half') IS NULL AS value", as: Bool.self))
        #expect(try await migrator(users, broken).status() == .behind(missing: ["0002_break"]))
        let locks: Int64 = try await database.value(
            """
            SELECT count(*) AS value FROM pg_locks JOIN pg_database ON pg_database.oid = database
            WHERE locktype = 'advisory' AND datname = current_database()
            """)
        #expect(locks == 0)
        #expect(try await migrator(users, migration("0002_break", "CREATE TABLE half ()")).migrate() == ["0002_break"])
    }

    @Test func `COPY in a migration fails it and nothing else`() async throws {
        let copy = migration("0002_copy", "CREATE TABLE half (); COPY users FROM STDIN")
        await #expect(throws: MigrationError.failed("0002_copy", .unknownOutcome)) {
            try await migrator(users, copy).migrate()
        }
        #expect(try await database.value("SELECT to_regclass('half') IS NULL AS value", as: Bool.self))
        #expect(try await migrator(users, emails).migrate() == ["0002_add_emails"])
    }

    @Test func `An empty migration is one that did nothing`() async throws {
        #expect(try await migrator(migration("0001_nothing", "-- nothing\n")).migrate() == ["0001_nothing"])
    }

    /// Holds the migrations' lock while `body` runs.
    private func locked(_ body: () async throws -> Void) async throws {
        let error: (any Error)? = try await database.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(hashtextextended('latchkey.migrate', 0))")
            var failure: (any Error)?
            do { try await body() } catch { failure = error }
            try await lease.query("SELECT pg_advisory_unlock(hashtextextended('latchkey.migrate', 0))")
            return failure
        }
        if let error { throw error }
    }

    @Test func `A lock that is not let go of is reported`() async throws {
        try await locked {
            await #expect(throws: MigrationError.lockHeld) { try await migrator(users).migrate(timeout: 1) }
        }
        #expect(try await migrator(users).migrate() == ["0001_create_users"])
    }

    @Test func `Who is cancelled while it waits for the lock gives up`() async throws {
        try await locked {
            let task = Task { try await migrator(users).migrate() }
            task.cancel()
            // Between two looks at the lock, or in one.
            let error = await #expect(throws: (any Error).self) { try await task.value }
            #expect(error is CancellationError || error as? PostgresError == .unavailable(.cancelled))
        }
    }
}
