package import Configuration
import JOSE
import LibCrypto
import Logging
import PKCS11
import Postgres

/// Reads `Settings` from flags, environment and file (in this order) and gathers every error on the way. Each key is
/// spelt here as it is in a file; `LATCHKEY_` and its words in capitals are its name in the environment.
package struct SettingsReader {
    private let sources: [SettingsSource]
    private var rows: [SettingRow] = []
    var problems: [String] = []

    /// - Parameter config: scoped to nothing; every key begins with `latchkey`.
    package static func read(_ config: ConfigReader, profile: SettingsProfile) throws(SettingsError) -> Settings {
        try read([SettingsSource(.environment, config)], profile: profile)
    }

    /// - Parameter sources: the first that holds a setting gives it.
    package static func read(_ sources: [SettingsSource], profile: SettingsProfile) throws(SettingsError) -> Settings {
        let review = review(sources, profile: profile)
        guard review.problems.isEmpty else { throw SettingsError(problems: review.problems) }
        return review.settings
    }

    /// Every setting, its source and what is wrong, for `latchkey check-config`.
    package static func review(_ sources: [SettingsSource], profile: SettingsProfile) -> SettingsReview {
        var reader = SettingsReader(sources: sources)
        let settings = reader.settings(profile)
        let warnings = reader.tellUnknown()
        for (index, row) in reader.rows.enumerated() {
            reader.rows[index].problem = reader.problems.first { $0.hasPrefix("\(row.name) ") }
        }
        return SettingsReview(settings: settings, rows: reader.rows, problems: reader.problems, warnings: warnings)
    }

    /// One setting alone, for a command that needs no other.
    package static func text(_ key: String, in sources: [SettingsSource]) -> String? {
        sources.lazy.compactMap { $0.text(ConfigKey(key)) }.first
    }

    private init(sources: [SettingsSource]) {
        self.sources = sources
    }

    /// What one command alone reads, from the environment alone: `dev`, and `keys import`.
    private static let elsewhere = ["LATCHKEY_ADMIN_PASSWORD", "LATCHKEY_IMPORT_PASSPHRASE"]

    /// A key of a file that is no setting is a problem. A variable that is none may be another program's (Kubernetes
    /// names some after a Service called `latchkey`): a warning.
    private mutating func tellUnknown() -> [String] {
        var warnings: [String] = []
        for source in sources {
            for (name, line) in source.given.sorted(by: { $0.key < $1.key }) {
                switch source.kind {
                case .file(let path):
                    let known = rows.map(\.key)
                    guard !known.contains(where: { $0.isSameText(as: name) }) else { continue }
                    let nearest = SettingName.nearest(to: name, among: known).map { ": is \($0) meant?" }
                    problems.append("\(path), line \(line): there is no setting \(name)\(nearest ?? "")")
                case .environment:
                    let known = rows.map(\.name) + Self.elsewhere
                    guard !known.contains(where: { $0.isSameText(as: name) }) else { continue }
                    let nearest = SettingName.nearest(to: name, among: known).map { ": is \($0) meant?" }
                    warnings.append("\(name) is no setting of Latchkey's\(nearest ?? "")")
                case .flags, .installation, .defaults: continue
                }
            }
        }
        return warnings
    }

    private mutating func settings(_ profile: SettingsProfile) -> Settings {
        let isDev = profile == .dev
        let port = int("port", default: 8080, in: 0...65535)
        let idleTTL = seconds("session.idleTtl", default: 1_209_600, in: 60...315_360_000)
        let issuer = issuer(profile)
        let settings = Settings(
            databaseURL: databaseURL(),
            databaseConnections: Int(int("database.connections", default: 8, in: 1...1000)),
            failover: choice("failover", default: .lossy, of: Failover.allCases),
            host: text("host", default: "127.0.0.1"), port: Int(port),
            managementPort: Int(
                int("management.port", default: port == 0 ? 0 : min(port + 1000, 65535), in: 0...65535)),
            managementHost: text("management.host", default: "127.0.0.1"),
            trustedProxies: trustedProxies(), edge: edge(), issuer: issuer, audience: audience(issuer),
            resources: string("resources")?.split(separator: ",").map(String.init) ?? [],
            keysDirectory: text("keys.dir", default: Self.keysDirectory(in: sources)),
            masterKeyDescriptor: descriptor(),
            passwordPepper: choice("password.pepper", default: .none, of: PasswordPepperChoice.allCases),
            accessTokenTTL: seconds("accessToken.ttl", default: 600, in: 1...86_400),
            session: SessionPolicy(
                idleTTL: idleTTL, maxTTL: seconds("session.maxTtl", default: 7_776_000, in: 60...315_360_000),
                grace: seconds("refresh.grace", default: 30, in: 0...3600),
                recovery: seconds("refresh.recovery", default: idleTTL, in: 0...315_360_000)),
            argon2: argon2(), hashingQueueWait: seconds("hashing.queueWait", default: 2, in: 1...60),
            hashingMemoryKiB: Int(int("hashing.memoryKib", default: 262_144, in: 8...67_108_864)),
            guesses: GuessLimits(
                perAccount: int("login.failuresPerAccount", default: 10, in: 0...1000),
                perAddress: int("login.failuresPerAddress", default: 100, in: 0...10_000)),
            keys: KeyPolicy(
                publishLead: seconds("key.publishLead", default: isDev ? 45 : 3600, in: 1...31_536_000),
                maxAge: seconds("jwks.maxAge", default: isDev ? 10 : 300, in: 1...86_400),
                leeway: seconds("clock.leeway", default: isDev ? 3 : 30, in: 0...600),
                rotationInterval: seconds("key.rotationInterval", default: 2_592_000, in: 1...315_360_000)),
            signingAlgorithm: choice("signing.algorithm", default: .rs256, of: SignatureAlgorithm.allCases),
            token: token(),
            registration: choice("registration", default: isDev ? .open : .closed, of: Registration.allCases),
            feed: FeedSettings(
                access: choice("feed.access", default: .everyone, of: FeedAccess.allCases),
                followers: Int(int("feed.followers", default: 4096, in: 0...1_000_000))), statusList: statusList(),
            logLevel: choice("log.level", default: .info, of: Logger.Level.allCases))
        checkTarget(settings.databaseURL)
        if settings.token != nil, !SecurityToken.algorithms.contains(settings.signingAlgorithm) {
            problems.append(
                "LATCHKEY_SIGNING_ALGORITHM is \(settings.signingAlgorithm.rawValue): a PKCS #11 token makes no such keys"
            )
        }
        checkStatusList(settings)
        let keys = settings.keyPolicy
        if keys.publishLead < keys.shortestLead {
            problems.append(
                "LATCHKEY_KEY_PUBLISH_LEAD is \(keys.publishLead): it must be at least LATCHKEY_JWKS_MAX_AGE "
                    + "\(keys.maxAge) + LATCHKEY_CLOCK_LEEWAY \(keys.leeway) + 2 = \(keys.shortestLead), or a key would "
                    + "sign before every verifier knows it")
        }
        if keys.rotationInterval < keys.shortestInterval {
            problems.append(
                "LATCHKEY_KEY_ROTATION_INTERVAL is \(keys.rotationInterval): it must be at least "
                    + "LATCHKEY_KEY_PUBLISH_LEAD \(keys.publishLead) + LATCHKEY_ACCESS_TOKEN_TTL \(keys.lifetime) + "
                    + "LATCHKEY_CLOCK_LEEWAY \(keys.leeway) = \(keys.shortestInterval), or the standbys would not be "
                    + "ripe again, nor the retired key's last token dead, before the next rotation")
        }
        return settings
    }

    private mutating func databaseURL() -> String {
        if let url = string("database.url", .secret) { return url }
        problems.append(
            "LATCHKEY_DATABASE_URL is not set: give a PostgreSQL connection string such as "
                + "postgresql://latchkey@db.example/latchkey, or name an installation with --data DIR")
        return ""
    }

    /// libpq's environment (PGHOST) and service files count. The string is never shown: it may hold a password.
    private mutating func checkTarget(_ url: String) {
        guard !url.isEmpty else { return }
        guard let target = ServerTarget(url) else {
            problems.append(
                "LATCHKEY_DATABASE_URL is no connection string that libpq can read: give one such as "
                    + "postgresql://latchkey@db.example/latchkey, with as many ports as hosts, or one")
            return
        }
        // Which commits a failover may take back decides which tokens it must end: nobody else can know.
        if target.hasSeveralHosts, sources.allSatisfy({ $0.text("failover") == nil }) {
            problems.append(
                "LATCHKEY_FAILOVER is not set, and the database has several hosts: say `synchronous` where only a "
                    + "synchronous standby takes over, so that no commit is lost, or `lossy` where the last commits "
                    + "may be lost, and every session ends at a failover")
        }
    }

    private mutating func issuer(_ profile: SettingsProfile) -> String {
        guard let issuer = string("issuer") else {
            if profile == .serve {
                problems.append("LATCHKEY_ISSUER is not set: give the https URL under which clients reach this service")
            }
            return Self.noIssuer
        }
        // RFC 8414 §2: an https URL without query and fragment. http for loopback: development and tests.
        let bytes = Array(issuer.utf8)
        // The host to its end: http://localhost.evil.example is none of them, nor is a name before an @.
        let isLoopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"].contains { start in
            let next = issuer.utf8.dropFirst(start.utf8.count).first
            return issuer.utf8.starts(with: start.utf8)
                && (next == nil || next == UInt8(ascii: ":") || next == UInt8(ascii: "/"))
        }
        let isURL = issuer.utf8.starts(with: "https://".utf8) || isLoopback
        if !isURL || bytes.last == UInt8(ascii: "/")
            || !bytes.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x3F && $0 != 0x23 && $0 != 0x40 })
        {
            problems.append(
                "LATCHKEY_ISSUER is \(issuer): it must be an https URL (http for loopback alone) without user, "
                    + "query, fragment or a slash at its end")
        }
        return issuer
    }

    private mutating func audience(_ issuer: String) -> String {
        let audience = string("audience")
        if issuer != Self.noIssuer { note(default: issuer) }
        return audience ?? issuer
    }

    /// What a command that serves nothing goes by.
    package static let noIssuer = "unset"
    private mutating func trustedProxies() -> TrustedProxies {
        var ranges: [IPAddressRange] = []
        for part in (string("trustedProxies") ?? "").split(separator: ",") {
            let text = part.trimmingPrefix { $0 == " " }.reversed().trimmingPrefix { $0 == " " }.reversed()
            guard let range = IPAddressRange(String(text)) else {
                problems.append(
                    "LATCHKEY_TRUSTED_PROXIES is \(String(part)): it must be addresses and ranges such as 10.0.0.0/8 or "
                        + "2001:db8::1, separated by commas, with no bits set beyond a range's length")
                continue
            }
            ranges.append(range)
        }
        return TrustedProxies(ranges)
    }

    private mutating func edge() -> EdgeLimits {
        var limits = EdgeLimits()
        limits.connections = Int(int("maxConnections", default: Int64(limits.connections), in: 16...1_000_000))
        limits.requests = Int(int("maxRequests", default: Int64(limits.requests), in: 1...1_000_000))
        return limits
    }

    private mutating func argon2() -> Argon2Parameters {
        let memory = int("argon2.memoryKib", default: 19_456, in: 8...1_048_576)
        let iterations = int("argon2.iterations", default: 2, in: 1...64)
        let parallelism = int("argon2.parallelism", default: 1, in: 1...16)
        do {
            return try Argon2Parameters(
                memoryKiB: Int(memory), iterations: Int(iterations), parallelism: Int(parallelism))
        } catch {
            problems.append("LATCHKEY_ARGON2_…: \(error)")
            return .standard
        }
    }

    enum Visibility { case shown, secret }

    /// nil where it is not set.
    mutating func string(_ key: ConfigKey, _ visibility: Visibility = .shown) -> String? {
        let found = sources.lazy.compactMap { source in source.text(key).map { (text: $0, source: source) } }.first
        rows.append(
            SettingRow(
                name: SettingName.inEnvironment(key), key: SettingName.inFile(key),
                value: found.map { visibility == .secret ? "****" : $0.text },
                source: found?.source.place(of: key) ?? "default"))
        return found?.text
    }

    /// The value of the setting read last, where it was not set.
    private mutating func note(default value: String) {
        guard let last = rows.indices.last, rows[last].value == nil else { return }
        rows[last].value = value
    }

    private mutating func text(_ key: ConfigKey, default value: String) -> String {
        let text = string(key)
        note(default: value)
        return text ?? value
    }

    /// `LATCHKEY_PORT is x`, and where it stands if that is in a file.
    func told(_ key: ConfigKey, _ text: String) -> String {
        let place = sources.first { $0.text(key) != nil }.flatMap { source in
            if case .file = source.kind { " (\(source.place(of: key)))" } else { nil }
        }
        return "\(SettingName.inEnvironment(key)) is \(text)\(place ?? "")"
    }

    mutating func seconds(_ key: ConfigKey, default value: Int64, in range: ClosedRange<Int64>) -> Int64 {
        int(key, default: value, in: range, unit: " seconds")
    }

    private mutating func int(
        _ key: ConfigKey, default value: Int64, in range: ClosedRange<Int64>, unit: String = ""
    ) -> Int64 {
        guard let text = string(key) else {
            note(default: "\(value)")
            return value
        }
        // By bytes: Int() would take "+5".
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let given = Int64(text), range.contains(given)
        else {
            problems.append(
                "\(told(key, text)): it must be a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound)\(unit)")
            return value
        }
        return given
    }

    mutating func choice<C: RawRepresentable<String>>(_ key: ConfigKey, default value: C, of all: [C]) -> C {
        guard let text = string(key) else {
            note(default: value.rawValue)
            return value
        }
        guard let choice = all.first(where: { $0.rawValue.utf8.elementsEqual(text.utf8) }) else {
            problems.append(
                "\(told(key, text)): it must be one of \(all.map(\.rawValue).joined(separator: ", "))")
            return value
        }
        return choice
    }
}
