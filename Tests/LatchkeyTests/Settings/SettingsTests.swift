import Configuration
import LibCrypto
import Testing

@testable import Latchkey

@Suite("The settings")
struct SettingsTests {
    private static let needed = ["LATCHKEY_DATABASE_URL": "host=/nowhere", "LATCHKEY_ISSUER": "https://id.example"]

    private static func read(
        _ values: [String: String], _ profile: SettingsProfile = .serve, over base: [String: String] = needed
    ) throws(SettingsError) -> Settings {
        let all = base.merging(values) { $1 }
        return try SettingsReader.read(
            ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: all)), profile: profile)
    }

    private static func problems(_ values: [String: String], _ profile: SettingsProfile = .serve) -> [String] {
        do {
            _ = try read(values, profile)
            return []
        } catch {
            return error.problems
        }
    }

    @Test("need a database and an issuer to serve, and say both at once")
    func notSet() throws {
        let error = #expect(throws: SettingsError.self) { try Self.read([:], over: [:]) }
        let problems = try #require(error).problems
        #expect(problems.count == 2)
        #expect(problems.contains { $0.hasPrefix("LATCHKEY_DATABASE_URL is not set") })
        #expect(problems.contains { $0.hasPrefix("LATCHKEY_ISSUER is not set") })
        // A command needs no issuer.
        #expect(throws: Never.self) { try Self.read([:], .command, over: ["LATCHKEY_DATABASE_URL": "host=/nowhere"]) }
    }

    @Test("have defaults", arguments: [SettingsProfile.serve, .dev])
    func defaults(profile: SettingsProfile) throws {
        let it = try Self.read([:], profile)
        #expect(it.port == 8080)
        #expect(it.managementPort == 9080)
        #expect(it.host == "127.0.0.1")
        #expect(it.audience == "https://id.example")
        #expect(it.accessTokenTTL == 600)
        #expect(it.session.idleTTL == 1_209_600)
        #expect(it.session.maxTTL == 7_776_000)
        #expect(it.session.grace == 30)
        #expect(it.session.recovery == it.session.idleTTL)
        #expect(it.argon2 == .standard)
        #expect(it.guesses.perAccount == 10)
        #expect(it.guesses.perAddress == 100)
        #expect(it.keys.maxAge == (profile == .dev ? 10 : 300))
        #expect(it.keys.leeway == (profile == .dev ? 3 : 30))
        #expect(it.keys.publishLead == (profile == .dev ? 45 : 3600))
        #expect(it.registration == (profile == .dev ? .open : .closed))
        #expect(it.signingAlgorithm == .rs256)
    }

    @Test(arguments: ["-1", "+3", "three", "3.0", "65536", "٣", "0x3", " 3"])
    func `take no other word for a file descriptor than its number`(text: String) {
        let problems = Self.problems(["LATCHKEY_MASTER_KEY_FD": text])
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("LATCHKEY_MASTER_KEY_FD is \(text)") == true)
    }

    @Test func `name where the master keys come from: a descriptor before a folder`() throws {
        #expect(try Self.read([:]).masterKeySource == .folder("keys"))
        #expect(try Self.read(["LATCHKEY_KEYS_DIR": "/k"]).masterKeySource == .folder("/k"))
        #expect(
            try Self.read(["LATCHKEY_KEYS_DIR": "/k", "LATCHKEY_MASTER_KEY_FD": "3"]).masterKeySource == .descriptor(3))
        #expect(try Self.read([:]).passwordPepper == .none)
        #expect(try Self.read(["LATCHKEY_PASSWORD_PEPPER": "master-key"]).passwordPepper == .masterKey)
        #expect(Self.problems(["LATCHKEY_PASSWORD_PEPPER": "on"]).count == 1)
    }

    @Test("follow each other where one is not set")
    func following() throws {
        let it = try Self.read([
            "LATCHKEY_SESSION_IDLE_TTL": "120", "LATCHKEY_PORT": "9000", "LATCHKEY_AUDIENCE": "https://api.example",
            "LATCHKEY_RESOURCES": "https://a.example,https://b.example",
        ])
        #expect(it.session.recovery == 120)
        #expect(it.managementPort == 10_000)
        #expect(it.audience == "https://api.example")
        #expect(it.resources == ["https://a.example", "https://b.example"])
        #expect(try Self.read(["LATCHKEY_PORT": "65535"]).managementPort == 65535)
        #expect(try Self.read(["LATCHKEY_PORT": "0"]).managementPort == 0)
        #expect(try Self.read(["LATCHKEY_REFRESH_GRACE": "0", "LATCHKEY_REFRESH_RECOVERY": "0"]).session.recovery == 0)
        // Set to nothing is not set.
        #expect(try Self.read(["LATCHKEY_PORT": "", "LATCHKEY_HOST": ""]).port == 8080)
    }

    @Test func `let no status list be kept for longer than a token lives`() throws {
        #expect(try Self.read([:]).statusList.choice == .off)
        #expect(try Self.read([:]).statusListAddresses == nil)
        let on = ["LATCHKEY_STATUS_LIST": "on", "LATCHKEY_STATUS_LIST_TTL": "600"]
        #expect(try Self.read(on).statusListAddresses?.aggregation == "https://id.example/status-lists")
        let problems = Self.problems(on.merging(["LATCHKEY_ACCESS_TOKEN_TTL": "599"]) { $1 })
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("LATCHKEY_STATUS_LIST_TTL is 600") == true)
        #expect(problems.first?.contains("LATCHKEY_ACCESS_TOKEN_TTL 599") == true)
        #expect(Self.problems(["LATCHKEY_STATUS_LIST_TTL": "600", "LATCHKEY_ACCESS_TOKEN_TTL": "599"]) == [])
    }

    @Test("name trusted proxies by address and by range")
    func proxies() throws {
        #expect(try Self.read([:]).trustedProxies == .none)
        let ranges = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"].compactMap(IPAddressRange.init)
        let it = try Self.read(["LATCHKEY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1 ,2001:db8::/32"])
        #expect(it.trustedProxies == TrustedProxies(ranges) && ranges.count == 3)
    }

    /// A wrong value of each, and what the refusal must say is allowed.
    static let wrong: [(name: String, value: String, allowed: String)] = [
        ("LATCHKEY_PORT", "65536", "0 to 65535"), ("LATCHKEY_PORT", "-1", "0 to 65535"),
        ("LATCHKEY_PORT", "+5", "0 to 65535"), ("LATCHKEY_PORT", "80 ", "0 to 65535"),
        ("LATCHKEY_PORT", "http", "0 to 65535"), ("LATCHKEY_PORT", "\u{664}\u{665}", "0 to 65535"),
        ("LATCHKEY_MANAGEMENT_PORT", "x", "0 to 65535"), ("LATCHKEY_DATABASE_CONNECTIONS", "0", "1 to 1000"),
        ("LATCHKEY_ACCESS_TOKEN_TTL", "0", "1 to 86400 seconds"),
        ("LATCHKEY_ACCESS_TOKEN_TTL", "10m", "1 to 86400 seconds"),
        ("LATCHKEY_ACCESS_TOKEN_TTL", "99999999999999999999", "1 to 86400 seconds"),
        ("LATCHKEY_SESSION_IDLE_TTL", "59", "60 to 315360000 seconds"),
        ("LATCHKEY_SESSION_MAX_TTL", "1e6", "60 to 315360000 seconds"),
        ("LATCHKEY_REFRESH_GRACE", "3601", "0 to 3600 seconds"),
        ("LATCHKEY_REFRESH_RECOVERY", "-5", "0 to 315360000 seconds"),
        ("LATCHKEY_ARGON2_MEMORY_KIB", "7", "8 to 1048576"), ("LATCHKEY_ARGON2_ITERATIONS", "0", "1 to 64"),
        ("LATCHKEY_ARGON2_PARALLELISM", "17", "1 to 16"), ("LATCHKEY_HASHING_QUEUE_WAIT", "0", "1 to 60 seconds"),
        ("LATCHKEY_HASHING_MEMORY_KIB", "x", "8 to 67108864"),
        ("LATCHKEY_LOGIN_FAILURES_PER_ACCOUNT", "1001", "0 to 1000"),
        ("LATCHKEY_LOGIN_FAILURES_PER_ADDRESS", "-1", "0 to 10000"),
        ("LATCHKEY_KEY_PUBLISH_LEAD", "0", "1 to 31536000 seconds"),
        ("LATCHKEY_JWKS_MAX_AGE", "86401", "1 to 86400 seconds"), ("LATCHKEY_CLOCK_LEEWAY", "601", "0 to 600 seconds"),
        ("LATCHKEY_MAX_CONNECTIONS", "15", "16 to 1000000"), ("LATCHKEY_MAX_REQUESTS", "0", "1 to 1000000"),
        ("LATCHKEY_TRUSTED_PROXIES", "proxy.example", "addresses and ranges"),
        ("LATCHKEY_TRUSTED_PROXIES", "10.0.0.1/8", "no bits set beyond"),
        ("LATCHKEY_TRUSTED_PROXIES", "10.0.0.0/33", "addresses and ranges"),
        ("LATCHKEY_TRUSTED_PROXIES", "fe80::1%eth0", "addresses and ranges"),
        ("LATCHKEY_SIGNING_ALGORITHM", "none", "RS256"), ("LATCHKEY_SIGNING_ALGORITHM", "HS256", "RS256"),
        ("LATCHKEY_FAILOVER", "sync", "synchronous, lossy"), ("LATCHKEY_FAILOVER", "Lossy", "synchronous, lossy"),
        ("LATCHKEY_REGISTRATION", "Open", "open, invite, closed"), ("LATCHKEY_LOG_LEVEL", "loud", "trace, debug, info"),
        ("LATCHKEY_STATUS_LIST", "yes", "off, on"), ("LATCHKEY_STATUS_LIST", "On", "off, on"),
        ("LATCHKEY_STATUS_LIST_TTL", "0", "1 to 86400 seconds"),
        ("LATCHKEY_ISSUER", "http://id.example", "https"),
        ("LATCHKEY_ISSUER", "https://id.example/", "slash at its end"),
        ("LATCHKEY_ISSUER", "https://id.example?a=b", "query"), ("LATCHKEY_ISSUER", "https://id.example#x", "fragment"),
        ("LATCHKEY_ISSUER", "https://id.ex ample", "https"), ("LATCHKEY_ISSUER", "nonsense", "https"),
    ]

    @Test("that are wrong stop the start with the name, the value and what is allowed", arguments: wrong)
    func refusals(name: String, value: String, allowed: String) throws {
        let problems = Self.problems([name: value])
        // A wrong key setting may break the arithmetic of the lead too; its own line comes first.
        let problem = try #require(problems.first)
        #expect(problem.contains(name))
        #expect(problem.contains(value))
        #expect(problem.contains(allowed))
    }

    @Test("say everything that is wrong with them at once")
    func allAtOnce() {
        var values: [String: String] = [:]
        for (name, value, _) in Self.wrong where values[name] == nil { values[name] = value }
        values["LATCHKEY_DATABASE_URL"] = ""
        let problems = Self.problems(values)
        #expect(problems.count == values.count)
        for name in values.keys { #expect(problems.filter { $0.contains("\(name) is ") }.count == 1, "\(name)") }
        let text = SettingsError(problems: problems).description
        #expect(text.split(separator: "\n").count == problems.count + 1)
    }

    @Test(
        "take loopback without TLS, for development",
        arguments: ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
    func loopback(issuer: String) throws {
        #expect(try Self.read(["LATCHKEY_ISSUER": issuer]).issuer == issuer)
    }

    @Test(
        "take no host that only begins like loopback",
        arguments: [
            "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://127.0.0.1@evil.example",
            "http://localhost:x@evil.example", "https://user@id.example",
        ])
    func notLoopback(issuer: String) throws {
        #expect(Self.problems(["LATCHKEY_ISSUER": issuer]).count == 1)
    }

    @Test(
        "refuse a lead that a verifier's cache outlasts, with the arithmetic",
        arguments: [(331, false), (332, true), (333, true)])
    func lead(seconds: Int, isEnough: Bool) throws {
        let problems = Self.problems(["LATCHKEY_KEY_PUBLISH_LEAD": "\(seconds)"])
        #expect(problems.isEmpty == isEnough)
        if let problem = problems.first {
            for part in [
                "LATCHKEY_KEY_PUBLISH_LEAD is \(seconds)", "LATCHKEY_JWKS_MAX_AGE 300", "LATCHKEY_CLOCK_LEEWAY 30",
                "+ 2 = 332",
            ] {
                #expect(problem.contains(part), "\(part)")
            }
        }
        // Also where the lead is the default and the max-age is what was set.
        #expect(Self.problems(["LATCHKEY_JWKS_MAX_AGE": "3600"]).count == 1)
    }

    @Test(
        "of a database with several hosts say what a failover may lose",
        arguments: [
            "host=a,b", "postgresql://u:hunter2@a:1,b:2/d", "hostaddr=192.0.2.1,192.0.2.2",
            "host=/run/a,/run/b port=1,2",
        ])
    func severalHosts(url: String) throws {
        let problems = Self.problems(["LATCHKEY_DATABASE_URL": url])
        #expect(problems.count == 1)
        let problem = try #require(problems.first)
        for part in ["LATCHKEY_FAILOVER is not set", "`synchronous`", "`lossy`"] { #expect(problem.contains(part)) }
        #expect(!problem.contains("hunter2"))
        for failover in Failover.allCases {
            let settings = try Self.read(["LATCHKEY_DATABASE_URL": url, "LATCHKEY_FAILOVER": failover.rawValue])
            #expect(settings.failover == failover)
        }
        #expect(Self.problems(["LATCHKEY_DATABASE_URL": url, "LATCHKEY_FAILOVER": "maybe"]).count == 1)
    }

    @Test("of a database with one host are lossy unless they say otherwise")
    func oneHost() throws {
        #expect(try Self.read([:]).failover == .lossy)
        #expect(try Self.read(["LATCHKEY_FAILOVER": "synchronous"]).failover == .synchronous)
    }

    @Test(
        "refuse a connection string that libpq cannot read, without showing it",
        arguments: ["hunter2", "host='hunter2", "host=a hunter2=b", "host=a,b,c port=1,2 password=hunter2"])
    func unreadable(url: String) throws {
        let problems = Self.problems(["LATCHKEY_DATABASE_URL": url])
        #expect(problems.count == 1)
        #expect(problems.first?.contains("LATCHKEY_DATABASE_URL is no connection string") == true)
        #expect(!problems.joined().contains("hunter2"))
    }

    @Test("never show the connection string: it may hold a password")
    func secret() {
        let secret = "postgresql://latchkey:hunter2hunter2@db.example/latchkey"
        let problems = Self.problems(["LATCHKEY_DATABASE_URL": secret, "LATCHKEY_PORT": "x", "LATCHKEY_ISSUER": "y"])
        #expect(problems.count == 2)
        #expect(!problems.joined().contains("hunter2"))
        let settings = try? Self.read(["LATCHKEY_DATABASE_URL": secret])
        #expect(settings?.databaseURL == secret)
        #expect(!"\(String(describing: settings))".contains("hunter2"))
        #expect(!"\(String(reflecting: settings))".contains("hunter2"))
    }

    /// `| `NAME` | default | meaning |`
    private static func table() throws -> [(name: String, serve: String, dev: String?)] {
        try Repository.text("README.md").matches(
            of: /(?m)^\| `(LATCHKEY_[A-Z0-9_]+)` \| ([^|(]+?)(?: \(`dev`: ([^)]+)\))? \|/
        )
        .map { (String($0.1), String($0.2), $0.3.map { String($0) }) }
    }

    @Test("stand in the README's table, each of them and no other")
    func readme() throws {
        let rooms = [
            "SettingsReader", "SettingsReader+MasterKeys", "SettingsReader+StatusList", "SettingsReader+Token",
        ]
        let reader = try rooms.map {
            try Repository.text("Sources/Latchkey/\($0).swift")
        }.joined()
        let keys = reader.matches(of: /(?:int|seconds|string|choice|text)\(\s*"([a-zA-Z0-9.]+)"/).map { String($0.1) }
        let names = Set(
            keys.map { key in
                key.reduce(into: "LATCHKEY_") { name, letter in
                    if letter.isUppercase { name += "_" }
                    name += letter == "." ? "_" : letter.uppercased()
                }
            })
        try #require(names.count > 20)
        let table = try Self.table()
        #expect(Set(table.map(\.name)).count == table.count)
        // How each is spelt in a file.
        let spelt = try Repository.text("README.md").split(separator: "nested at the dots of this list:").last?
            .split(separator: "```").first?.matches(of: /`([a-zA-Z0-9.]+)`/).map { String($0.1) }
        #expect(spelt?.sorted() == Set(keys).sorted())
        // What `dev` alone reads, for the administrator that it makes.
        #expect(Set(table.map(\.name)) == names.union(["LATCHKEY_ADMIN_PASSWORD"]))
    }

    @Test("have the defaults that the README's table names", arguments: [SettingsProfile.serve, .dev])
    func readmeDefaults(profile: SettingsProfile) throws {
        var checked = 0
        for (name, serve, dev) in try Self.table() {
            let named = profile == .dev ? dev ?? serve : serve
            let value = named.replacing("`", with: "")
            guard value.wholeMatch(of: /[0-9]+|[0-9.]+|RS256|info|open|closed|keys|off/) != nil else { continue }
            checked += 1
            let (set, unset) = (try Self.read([name: value], profile), try Self.read([:], profile))
            var (a, b) = ("", "")
            dump(set, to: &a)
            dump(unset, to: &b)
            #expect(a == b, "\(name)")
        }
        #expect(checked >= 18)
    }

    @Test(arguments: [
        (["LATCHKEY_KEY_ROTATION_INTERVAL": "4229"], "4229"), (["LATCHKEY_ACCESS_TOKEN_TTL": "601"], "4230"),
        (["LATCHKEY_KEY_PUBLISH_LEAD": "3601"], "4230"), (["LATCHKEY_CLOCK_LEEWAY": "31"], "4230"),
    ])
    func `refuse to rotate before the standbys are ripe again, and say why`(
        values: [String: String], interval: String
    ) throws {
        let base = Self.needed.merging(["LATCHKEY_KEY_ROTATION_INTERVAL": "4230"]) { $1 }
        #expect(try Self.read([:], over: base).keys.rotationInterval == 4230)
        let problem = try #require(Self.problems(base.merging(values) { $1 }).first)
        #expect(problem.hasPrefix("LATCHKEY_KEY_ROTATION_INTERVAL is \(interval): it must be at least"))
        #expect(problem.contains("LATCHKEY_KEY_PUBLISH_LEAD"))
        #expect(problem.contains("LATCHKEY_ACCESS_TOKEN_TTL"))
        #expect(problem.contains("LATCHKEY_CLOCK_LEEWAY"))
    }
}
