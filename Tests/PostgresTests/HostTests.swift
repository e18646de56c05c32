import Foundation
import Glibc
import LatchkeyTesting
import Synchronization
import Testing

@testable import Postgres

/// A port of loopback on which the kernel accepts and nobody ever answers: a frozen server, or packets swallowed.
private final class SilentServer: Sendable {
    let port: UInt16
    private let socket: Int32

    init() throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                Glibc.bind(socket, address, length) == 0 && listen(socket, 64) == 0
                    && getsockname(socket, address, &length) == 0
            }
        }
        guard bound else { throw CocoaError(.fileWriteUnknown) }
        self.socket = socket
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { Glibc.close(socket) }
}

@Suite("Several hosts, and names", .freshDatabase, .timeLimit(.minutes(2)))
struct HostTests {
    private let folder = FreshDatabase.connectionString.split(separator: "'")[1]
    private let name = FreshDatabase.connectionString.split(separator: "'")[7]

    private func configuration(
        _ hosts: String, seconds: Int64 = 2, change: (inout DatabaseConfiguration) -> Void = { _ in }
    ) -> DatabaseConfiguration {
        var configuration = DatabaseConfiguration(connectionString: "\(hosts) user=latchkey dbname=\(name)")
        configuration.connectTimeout = seconds * 1_000_000_000
        configuration.statementTimeout = 60_000_000_000
        change(&configuration)
        return configuration
    }

    /// Which threads of this process have that name.
    private func threads(_ name: String) -> Int {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        return tasks.count { task in
            (try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)) == "\(name)\n"
        }
    }

    @Test func `A host that swallows everything leaves time for the next, which is first from then on`() async throws {
        let silent = try SilentServer()
        let database = Database(configuration("host=127.0.0.1,\(folder) port=\(silent.port),5432", seconds: 12))
        var start = ContinuousClock.now
        #expect(try await database.query("SELECT 1").count == 1)
        #expect(ContinuousClock.now - start >= .seconds(6))
        start = .now
        #expect(try await database.grouped("SELECT 1").count == 1)
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        #expect(ContinuousClock.now - start < .seconds(6))
        database.shutDown()
    }

    @Test func `Where every host is silent, the attempt ends at its deadline, not at each host's`() async throws {
        let (one, two) = (try SilentServer(), try SilentServer())
        let database = Database(
            configuration("host=127.0.0.1,127.0.0.1 port=\(one.port),\(two.port)", seconds: 3))
        let start = ContinuousClock.now
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
        #expect(ContinuousClock.now - start >= .seconds(3))
        #expect(ContinuousClock.now - start < .seconds(6))
        database.shutDown()
    }

    @Test func `Of several hosts the one that takes writes is used`() async throws {
        try await OwnCluster.run(options: ["default_transaction_read_only": "on"]) { standby async throws in
            let closed = standby.connectionString.split(separator: "'")[1]
            func isReadOnly(_ more: String) async throws -> String {
                var configuration = DatabaseConfiguration(
                    connectionString: "host=\(closed),\(folder) port=5432 user=latchkey dbname=postgres \(more)")
                configuration.connectTimeout = 10_000_000_000
                let database = Database(configuration)
                defer { database.shutDown() }
                return try await database.value("SELECT current_setting('transaction_read_only') AS value")
            }
            for more in ["", "target_session_attrs=any", "target_session_attrs=primary application_name=x"] {
                #expect(try await isReadOnly(more) == (more.contains("primary") ? "on" : "off"))
            }
            #expect(try await isReadOnly("target_session_attrs=read-only") == "on")
        }
    }

    @Test func `A host that stops taking writes is left for the one that does`() async throws {
        try await OwnCluster.run { first in
            let folder = first.connectionString.split(separator: "'")[1]
            try await OwnCluster.run { second in
                let other = second.connectionString.split(separator: "'")[1]
                var configuration = DatabaseConfiguration(
                    connectionString: "host=\(folder),\(other) port=5432 user=latchkey dbname=postgres")
                configuration.statementTimeout = 60_000_000_000
                let database = Database(configuration)
                let own = Database(.init(connectionString: first.connectionString))
                let id: String = try await own.value("SELECT system_identifier::text AS value FROM pg_control_system()")
                @Sendable func current() async throws -> String {
                    try await database.value("SELECT system_identifier::text AS value FROM pg_control_system()")
                }
                #expect(try await current() == id)
                try await own.query("ALTER SYSTEM SET default_transaction_read_only = on")
                try await own.query("SELECT pg_reload_conf()")
                // Each refusal costs the connection that met it, and the next looks for a server that takes writes.
                #expect(
                    try await becomesTrue {
                        _ = try? await database.query("CREATE TABLE IF NOT EXISTS t (id bigint)")
                        return try await current() != id
                    })
                own.shutDown()
                database.shutDown()
            }
        }
    }

    @Test func `A name becomes its addresses, one after the other`() async throws {
        let silent = try SilentServer()
        // Nothing listens on the first address.
        let database = Database(configuration("host=db.example port=\(silent.port)", seconds: 1)) { name in
            name == "db.example" ? ["127.0.0.2", "127.0.0.1"] : []
        }
        let start = ContinuousClock.now
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
        #expect(ContinuousClock.now - start >= .seconds(1))
        database.shutDown()
    }

    @Test func `A name that is nobody's leaves the attempt to the next host`() async throws {
        let asked = Mutex<[String]>([])
        let database = Database(configuration("host=nowhere.example,\(folder) port=5432")) { name in
            asked.withLock { $0.append(name) }
            return []
        }
        #expect(try await database.query("SELECT 1").count == 1)
        #expect(asked.withLock { $0 } == ["nowhere.example"])
        database.shutDown()
    }

    @Test func `A name server that hangs fails attempts, holds up no connection, and keeps one thread`() async throws {
        let asked = Atomic(0)
        let gate = DispatchSemaphore(value: 0)
        let hanging: Resolver.LookUp = { _ in
            asked.add(1, ordering: .relaxed)
            gate.wait()
            return []
        }
        let database = Database(configuration("host=slow.example,\(folder) port=5432", seconds: 1), lookUp: hanging)
        // Half a second for the name, and the other host serves.
        #expect(try await database.query("SELECT 1").count == 1)

        let alone = Database(
            configuration("host=slow.example port=5432", seconds: 1) { $0.statementTimeout = 500_000_000 },
            lookUp: hanging)
        for _ in 0..<6 {
            let start = ContinuousClock.now
            let error = await #expect(throws: PostgresError.self) { try await alone.query("SELECT 1") }
            #expect(error == .unavailable(.leaseTimedOut) || error == .unavailable(.cannotConnect))
            #expect(ContinuousClock.now - start < .seconds(3))
            await #expect(throws: PostgresError.self) { try await alone.grouped("SELECT 1") }
        }
        // Every attempt on every connection joined the one look-up that was under way.
        #expect(asked.load(ordering: .relaxed) == 2)
        #expect(threads("resolver") <= 2)
        // What was connected goes on meanwhile, on the thread that a look-up must not hold up.
        #expect(try await database.query("SELECT 1").count == 1)
        database.shutDown()
        alone.shutDown()
        for _ in 0..<10 { gate.signal() }
    }

    @Test func `The system's own look-up knows this machine`() {
        #expect(Resolver.system("localhost").contains { $0 == "127.0.0.1" || $0 == "::1" })
        #expect(Resolver.system("127.0.0.1") == ["127.0.0.1"])
        #expect(Resolver.system("nowhere.invalid") == [])
        #expect(Resolver.system("") == [])
    }
}
