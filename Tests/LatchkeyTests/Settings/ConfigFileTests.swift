import Foundation
import Logging
import Testing

@testable import Latchkey

@Suite struct ConfigFileTests {
    private static func file(_ text: String, mode: mode_t = 0o600) throws(ConfigFileError) -> ConfigFile {
        try ConfigFile(path: "/etc/latchkey.yaml", data: Data(text.utf8), mode: mode)
    }

    private static let needed = ["LATCHKEY_DATABASE_URL": "host=/nowhere", "LATCHKEY_ISSUER": "https://id.example"]

    private static func review(
        _ text: String, environment: [String: String] = [:], flags: [String: String] = [:]
    ) throws -> SettingsReview {
        SettingsReader.review(
            [.flags(flags), .environment(needed.merging(environment) { $1 }), .file(try file(text))], profile: .serve)
    }

    @Test func `A setting is found under its key, nested or with dots`() throws {
        for text in ["accessToken:\n  ttl: 42\n", "accessToken.ttl: 42\n", "{accessToken: {ttl: \"42\"}}"] {
            let review = try Self.review(text)
            #expect(review.problems == [])
            #expect(review.settings.accessTokenTTL == 42)
            #expect(review.rows.first { $0.key == "accessToken.ttl" }?.source.hasPrefix("/etc/latchkey.yaml:") == true)
        }
    }

    @Test func `Every setting can stand in a file, under the key that is told, and means there what it means outside`()
        throws
    {
        let samples = [
            "LATCHKEY_DATABASE_URL": "host=/else", "LATCHKEY_ISSUER": "https://else.example",
            "LATCHKEY_HOST": "0.0.0.0", "LATCHKEY_MANAGEMENT_HOST": "10.0.0.1",
            "LATCHKEY_AUDIENCE": "https://a.example",
            "LATCHKEY_RESOURCES": "https://b.example", "LATCHKEY_KEYS_DIR": "/keys", "LATCHKEY_LOG_LEVEL": "debug",
            "LATCHKEY_SIGNING_ALGORITHM": "RS256", "LATCHKEY_REGISTRATION": "open",
            "LATCHKEY_KEY_PUBLISH_LEAD": "4000",
        ]
        let rows = try Self.review("").rows
        try #require(rows.count > 20)
        for row in rows {
            // Numbers: one more than the default is allowed for all of them.
            guard let value = samples[row.name] ?? row.value.flatMap({ Int($0) }).map({ "\($0 + 1)" }) else { continue }
            let inFile = SettingsReader.review(
                [
                    .environment(Self.needed.filter { $0.key != row.name }),
                    .file(try Self.file("\(row.key): \"\(value)\"\n")),
                ], profile: .serve)
            let outside = SettingsReader.review(
                [.environment(Self.needed.merging([row.name: value]) { $1 })], profile: .serve)
            #expect(inFile.problems == [], "\(row.name)")
            #expect(inFile.rows.map(\.value) == outside.rows.map(\.value), "\(row.name)")
            #expect(inFile.rows.first { $0.name == row.name }?.source == "/etc/latchkey.yaml:1")
            var (a, b) = ("", "")
            dump(inFile.settings, to: &a)
            dump(outside.settings, to: &b)
            #expect(a == b, "\(row.name)")
        }
    }

    @Test func `Flags go before the environment, the environment before the file, the file before the defaults`() throws
    {
        let text = "port: 1001\nhost: file\nlog: {level: error}\n"
        let review = try Self.review(
            text, environment: ["LATCHKEY_PORT": "1002", "LATCHKEY_HOST": "environment"], flags: ["port": "1003"])
        #expect(review.settings.port == 1003)
        #expect(review.settings.host == "environment")
        #expect(review.settings.logLevel == .error)
        #expect(review.settings.databaseConnections == 8)
        let sources = Dictionary(uniqueKeysWithValues: review.rows.map { ($0.key, $0.source) })
        #expect(sources["port"] == "flag")
        #expect(sources["host"] == "LATCHKEY_HOST")
        #expect(sources["log.level"] == "/etc/latchkey.yaml:3")
        #expect(sources["database.connections"] == "default")
        // A variable set to nothing is not set, and hides no line of the file.
        #expect(try Self.review(text, environment: ["LATCHKEY_PORT": ""]).settings.port == 1001)
    }

    @Test func `A list is the same as its members with commas`() throws {
        for text in [
            "resources: [https://a, https://b]", "resources:\n- https://a\n- https://b",
            "resources: https://a,https://b",
        ] {
            #expect(try Self.review(text).settings.resources == ["https://a", "https://b"])
        }
        #expect(try Self.review("resources:\nport: ~\n").settings.resources == [])
        #expect(try Self.review("").settings.port == 8080)
    }

    @Test(arguments: [
        ("port: 1\nacessToken:\n  ttl: 5\n", 3, "acessToken.ttl", "accessToken.ttl"),
        ("accessToken:\n  TTL: 5\n", 2, "accessToken.TTL", "accessToken.ttl"),
        ("databse.url: x", 1, "databse.url", "database.url"),
        ("\n\nsession.idle: 5", 3, "session.idle", "session.idleTtl"),
        ("LATCHKEY_PORT: 5", 1, "LATCHKEY_PORT", nil), ("adminPassword: x", 1, "adminPassword", nil),
    ])
    func `A key that is no setting is a problem, with its line and the nearest key that is one`(
        text: String, line: Int, key: String, nearest: String?
    ) throws {
        let problems = try Self.review(text).problems
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("/etc/latchkey.yaml, line \(line): there is no setting \(key)") == true)
        if let nearest { #expect(problems.first?.contains("is \(nearest) meant?") == true, "\(problems)") }
    }

    @Test func `A wrong value names the file and the line`() throws {
        let problems = try Self.review("host: x\nport: many\n").problems
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("LATCHKEY_PORT is many (/etc/latchkey.yaml:2): it must be") == true)
    }

    @Test func `A variable that is no setting is a warning with the nearest name`() throws {
        let review = try Self.review(
            "", environment: ["LATCHKEY_ACESS_TOKEN_TTL": "5", "LATCHKEY_ADMIN_PASSWORD": "x"])
        #expect(review.problems == [])
        #expect(review.warnings.count == 1)
        #expect(review.warnings.first?.contains("is LATCHKEY_ACCESS_TOKEN_TTL meant?") == true)
    }

    @Test(arguments: [
        ("port: 1\n  x: [\n", 2), ("port: 1\nport: 2\n", 1), ("a: {b: 1}\na.b: 2\n", 2), ("- port\n", 1), ("port", 1),
        ("port: 1\nhost: [1, [2]]\n", 2), ("port: &x 1\nhost: *y\n", 2), ("port: \"1\n", 2), ("a:\n\t- 1\n", 2),
        ("1: {[2]: 3}\n", 1), ("a: 1\n---\nb: 2\n", 2), ("a: \u{1}\n", 1),
    ])
    func `A file that is no mapping of settings is refused with the line`(text: String, line: Int) throws {
        let error = #expect(throws: ConfigFileError.self) { try Self.file(text) }
        guard case .malformed(_, let found, _) = try #require(error) else {
            Issue.record("\(error as Any)")
            return
        }
        #expect(found == line, "\(error as Any)")
    }

    @Test func `What is no UTF-8 is refused`() {
        #expect(throws: ConfigFileError.self) {
            try ConfigFile(path: "x", data: Data([0x70, 0x6F, 0x72, 0x74, 0x3A, 0xFF]), mode: 0o600)
        }
    }

    @Test func `A file that is missing or no file is refused with what to do`() throws {
        #expect(throws: ConfigFileError.missing("/nowhere/latchkey.yaml")) {
            try ConfigFile(path: "/nowhere/latchkey.yaml")
        }
        #expect(throws: ConfigFileError.unreadable("/tmp")) { try ConfigFile(path: "/tmp") }
    }

    @Test(
        arguments: [
            ("database.url: postgresql://u:hunter2@h/x", 0o644, true),
            ("database: {url: host=h password=hunter2}", 0o604, true),
            ("database.url: postgresql://u:hunter2@h/x", 0o640, false),
            ("database.url: postgresql://u@h/x", 0o644, false),
            ("port: 1", 0o666, false),
        ] as [(String, mode_t, Bool)])
    func `A password that everybody may read is warned of, and never shown`(
        text: String, mode: mode_t, isWarned: Bool
    ) throws {
        let file = try Self.file(text, mode: mode)
        #expect(file.warnings.count == (isWarned ? 1 : 0))
        #expect(!file.warnings.joined().contains("hunter2"))
        let review = SettingsReader.review([.file(file)], profile: .command)
        #expect(!"\(review.rows) \(review.problems)".contains("hunter2"))
    }

    @Test func `A malformed line is refused without being quoted`() {
        let error = #expect(throws: ConfigFileError.self) { try Self.file("database:\n  url: \"hunter2\n") }
        #expect(error?.description.contains("hunter2") == false)
    }
}
