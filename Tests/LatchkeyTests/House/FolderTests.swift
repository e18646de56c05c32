import Foundation
import Latchkey
import Testing

/// The house's plan: everything flows down.
@Suite("The folders of the server")
struct FolderTests {
    /// From bottom to top. Those on one floor may use each other only as `sideways` says.
    private static let floors: [[String]] = [
        ["Schema", "Events", "Metrics", "HTTP"], ["Revocation", "Idempotency"], ["Keys", "Users", "Clients"],
        ["Tokens", "Guesses"],
        ["Sessions"], ["OAuth"], ["Feed", "StatusLists"], ["Administration"], ["Operations"], [""],
    ]

    /// A request's context says where an act came from, and the outermost middleware counts.
    private static let sideways: [String: Set<String>] = ["HTTP": ["Events", "Metrics"]]

    /// The names of what a file declares for others: at the margin, and not private.
    private static func declared(_ text: String) -> Set<String> {
        let pattern =
            /(?m)^(?:package |public |internal |final |indirect )*(?:struct|class|enum|actor|protocol|typealias) ([A-Z]\w*)/
        return Set(text.matches(of: pattern).map { String($0.1) })
    }

    /// The words of the program: no comments, no texts (but what is interpolated into them is lost too).
    private static func words(_ text: String) -> Set<String> {
        let code = text.replacing(/(?s)"""(?:.*?)"""/, with: "").replacing(/"(?:[^"\\\n]|\\.)*"/, with: "")
            .replacing(/\/\/[^\n]*/, with: "")
        return Set(code.matches(of: /[A-Za-z_]\w*/).map { String($0.0) })
    }

    @Test("use what lies below them, and nothing above")
    func flowsDown() throws {
        let sources = try Repository.serverSources()
        let folders = Self.floors.flatMap { $0 }
        #expect(Set(sources.map(\.folder)) == Set(folders), "a folder that has no floor")
        var declarations: [String: Set<String>] = [:]
        for source in sources { declarations[source.folder, default: []].formUnion(Self.declared(source.text)) }
        for folder in folders { #expect(declarations[folder]?.isEmpty == false, "\(folder)") }

        var violations: [String] = []
        for (floor, names) in Self.floors.enumerated() {
            for folder in names {
                let own = declarations[folder] ?? []
                let above = Self.floors[(floor + 1)...].flatMap { $0 }
                let beside = names.filter { $0 != folder && Self.sideways[folder]?.contains($0) != true }
                for other in above + beside {
                    // A name that two folders declare says nothing.
                    let theirs = (declarations[other] ?? []).subtracting(own)
                    for source in sources where source.folder == folder {
                        for word in Self.words(source.text).intersection(theirs).sorted() {
                            violations.append(
                                "\(folder)/\(source.name) uses \(word) of \(other.isEmpty ? "the root" : other)")
                        }
                    }
                }
            }
        }
        #expect(violations == [])
    }

    /// The tables of the schema and the one folder that writes each.
    private static let writers = [
        "installation": "Revocation", "node_ticks": "Revocation", "feed_head": "Revocation",
        "feed_batches": "Revocation", "revoked_keys": "Revocation", "status_lists": "Revocation",
        "revocation_entries": "Revocation", "users": "Users", "roles": "Users", "user_roles": "Users",
        "clients": "Clients", "sessions": "Sessions", "key_ring": "Keys", "signing_keys": "Keys",
        "master_keys": "Keys",
        "verifiers": "Keys", "minted_tokens": "Keys",
        "idempotency_keys": "Idempotency", "audit_events": "Events", "feed_key": "Feed", "guess_buckets": "Guesses",
        "guess_devices": "Guesses",
    ]

    /// The functions of the migrations, each with the tables that it, or one made before it that it calls, writes.
    private static func writingFunctions(_ tables: Set<String>) throws -> [String: Set<String>] {
        var functions: [String: Set<String>] = [:]
        for file in try Repository.names(in: "migrations").filter({ $0 != "schema.sql" }).sorted() {
            for match in try Repository.text("migrations/\(file)").matches(
                of: /CREATE FUNCTION (\w+)(?s:.*?)\n(?:\$\$)?;/)
            {
                let text = match.0
                var written = Set(
                    text.matches(of: /\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE) (\w+)/).map { String($0.1) })
                for (name, theirs) in functions where text.contains("\(name)(") { written.formUnion(theirs) }
                functions[String(match.1)] = written.intersection(tables)
            }
        }
        return functions
    }

    @Test("write each table from one of them only")
    func oneWriter() throws {
        let tables = try Set(
            Repository.names(in: "migrations").filter { $0 != "schema.sql" }.flatMap { file in
                try Repository.text("migrations/\(file)").matches(of: /CREATE (?:UNLOGGED )?TABLE (\w+)/).map {
                    String($0.1)
                }
            }.filter { $0.wholeMatch(of: /(sessions|revocation_entries)_\d\d/) == nil })
        #expect(tables == Set(Self.writers.keys))

        var written: [String: Set<String>] = [:]
        // A table's name, or a partition's: \("sessions", slot: …). What comes after FOR or DO is a lock or an upsert.
        let pattern =
            /(FOR |KEY |DO )?\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|LOCK TABLE)\s+(?:(\w+)|\\\("(\w+)", slot)/
        for source in try Repository.serverSources() {
            for match in source.text.matches(of: pattern) where match.1 == nil {
                let table = String(match.2 ?? match.3 ?? "")
                if tables.contains(table) { written[table, default: []].insert(source.folder) }
            }
        }
        // Who calls a function writes what it writes.
        let functions = try Self.writingFunctions(tables)
        #expect(functions["take_guess_slots"] == ["guess_buckets", "guess_devices"])
        for source in try Repository.serverSources() {
            for (name, theirs) in functions where source.text.contains("\(name)(") {
                for table in theirs { written[table, default: []].insert(source.folder) }
            }
        }
        for (table, folder) in Self.writers { #expect(written[table] == [folder], "\(table)") }
    }

    @Test("and all other sources keep their files to 300 lines")
    func rooms() throws {
        let paths = try #require(
            FileManager.default.enumerator(atPath: Repository.root.appending(path: "Sources").path)
        )
        .compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") && !$0.contains(".build") }
        #expect(paths.count > 150)
        for path in paths {
            let lines = try Repository.text("Sources/\(path)").split(separator: "\n", omittingEmptySubsequences: false)
                .count
            #expect(lines - 1 <= 300, "\(path)")
        }
    }
}
