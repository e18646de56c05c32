import LatchkeyTesting
import Testing

@testable import Postgres

@Suite("TLS to the server", .timeLimit(.minutes(2)))
struct TLSTests {
    private func outcome(_ connectionString: String, address: String) async -> PostgresError? {
        var configuration = DatabaseConfiguration(connectionString: connectionString)
        (configuration.connectTimeout, configuration.statementTimeout) = (10_000_000_000, 20_000_000_000)
        let database = Database(configuration) { _ in [address] }
        defer { database.shutDown() }
        do throws(PostgresError) {
            let row = try await database.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").one()
            return try row.decode("ssl") ? nil : .unexpectedRowCount(-1)
        } catch {
            return error
        }
    }

    /// What a client that was right to trust says, and what each way of being wrong changes.
    @Test func `The right name under the right authority is taken, by name and by address, and nothing else is`()
        async throws
    {
        try await TLSGround.run { ground in
            try await OwnCluster.run(options: ground.options) { cluster in
                let owner = Database(.init(connectionString: cluster.connectionString))
                for role in ["scram", "clear"] {
                    try await owner.query(
                        Query(stringLiteral: "CREATE ROLE \(role) LOGIN PASSWORD '\(TLSGround.password)'"))
                }
                owner.shutDown()
                let right = "sslmode=verify-full sslrootcert=\(ground.folder)/ours.pem channel_binding=require "
                let cases: [(String, refused: Bool)] = [
                    (right + "host=db.example user=scram", false),
                    (right + "host=db.example hostaddr=\(ground.address) user=scram", false),
                    (right + "host=db.example,db.example user=scram", false),
                    (right + "host=other.example user=scram", true),
                    (right + "host=other.example hostaddr=\(ground.address) user=scram", true),
                    (right + "host=\(ground.address) user=scram", true),
                    (right + "hostaddr=\(ground.address) user=scram", true),
                    ("sslmode=verify-full sslrootcert=\(ground.folder)/theirs.pem host=db.example user=scram", true),
                    ("sslmode=verify-ca sslrootcert=\(ground.folder)/theirs.pem host=db.example user=scram", true),
                    ("sslmode=verify-full sslrootcert=\(ground.folder)/none.pem host=db.example user=scram", true),
                    // The server asks for the password in clear: within TLS of the right server, and yet.
                    (right + "host=db.example user=clear", true),
                    ("sslmode=verify-full sslrootcert=\(ground.folder)/ours.pem host=db.example user=clear", false),
                    // The server takes no plain connection.
                    ("sslmode=disable host=db.example user=scram", true),
                    (right + "host=db.example user=scram password=wrong", true),
                ]
                for (settings, refused) in cases {
                    let error = await outcome(
                        "dbname=postgres password=\(TLSGround.password) \(settings)", address: ground.address)
                    #expect(error == (refused ? .unavailable(.cannotConnect) : nil), "\(settings)")
                }
            }
        }
    }

    /// The control is the client that lets itself be asked: it gives its password away.
    @Test func `No password reaches a server that is not the right one, or that asks for it in clear`() async throws {
        try await TLSGround.run { ground in
            let ours = "sslmode=verify-full sslrootcert=\(ground.folder)/ours.pem"
            let cases: [(Impostor.Face, String, tells: Bool)] = [
                (.plain, "sslmode=prefer host=db.example", true),
                (.plain, "\(ours) host=db.example", false),
                (.plain, "sslmode=require channel_binding=require host=db.example", false),
                (.plain, "sslmode=disable channel_binding=require host=db.example", false),
                (.tls(authority: "ours"), "\(ours) host=db.example", true),
                (.tls(authority: "ours"), "\(ours) channel_binding=require host=db.example", false),
                (.tls(authority: "ours"), "\(ours) host=other.example", false),
                (.tls(authority: "theirs"), "\(ours) host=db.example", false),
            ]
            for (face, settings, tells) in cases {
                let impostor = try Impostor(face, ground)
                // In a chain of its own: one who is refused comes again after a pause.
                let database = Database(
                    .init(
                        connectionString: "dbname=postgres user=u password=\(TLSGround.password) port=\(impostor.port) "
                            + settings)
                ) { _ in ["127.0.0.1"] }
                let password = Array(TLSGround.password.utf8)
                let told: @Sendable () -> Bool = { impostor.whatItKnows.contains(password) }
                if tells {
                    async let answer: ResultSet? = try? database.query("SELECT 1")
                    #expect(await becomesTrue(within: .seconds(20)) { told() }, "\(settings)")
                    database.shutDown()
                    _ = await answer
                } else {
                    await #expect(throws: PostgresError.unavailable(.cannotConnect), "\(settings)") {
                        try await database.query("SELECT 1")
                    }
                    #expect(
                        await becomesTrue { !impostor.whatItKnows.isEmpty }, "\(settings): it was never asked")
                    #expect(!told(), "\(settings)")
                    database.shutDown()
                }
                impostor.close()
            }
        }
    }
}
