package import LibCrypto
package import Logging
package import PKCS11

/// What an operator may choose. One name in three spellings: `LATCHKEY_ACCESS_TOKEN_TTL`, `accessToken.ttl`, and the row
/// of the README's table. Times are seconds. Read once, by `SettingsReader`; plain values from then on.
package struct Settings: Sendable {
    /// A libpq connection string; secret, since it may hold a password.
    @Masked package var databaseURL: String
    package var databaseConnections: Int
    package var failover: Failover
    package var host: String
    package var port: Int
    package var managementPort: Int
    /// The address of the management port: the loopback unless told.
    package var managementHost: String
    /// Who may say `X-Forwarded-For`.
    package var trustedProxies: TrustedProxies
    package var edge: EdgeLimits
    package var issuer: String
    /// The default `aud`.
    package var audience: String
    /// Further audiences that a login may ask for.
    package var resources: [String]
    package var keysDirectory: String
    /// nil: from `keysDirectory`.
    package var masterKeyDescriptor: Int32?
    package var passwordPepper: PasswordPepperChoice
    package var accessTokenTTL: Int64
    package var session: SessionPolicy
    package var argon2: Argon2Parameters
    package var hashingQueueWait: Int64
    package var hashingMemoryKiB: Int
    package var guesses: GuessLimits
    package var keys: KeyPolicy
    package var signingAlgorithm: SignatureAlgorithm
    /// What makes and holds new signing keys; nil: they stand sealed in the database.
    package var token: TokenSettings?
    package var registration: Registration
    package var feed: FeedSettings
    package var statusList: StatusListSettings
    package var logLevel: Logger.Level

    /// By which this process decides on keys.
    package var keyPolicy: KeyPolicy {
        var policy = keys
        policy.lifetime = accessTokenTTL
        return policy
    }

    /// What outlives this process in tokens and caches.
    package var inForce: SettingsInForce {
        SettingsInForce(
            accessToken: accessTokenTTL, publishLead: keys.publishLead, maxAge: keys.maxAge, leeway: keys.leeway,
            failover: failover.rawValue, algorithms: [signingAlgorithm.rawValue])
    }
}

extension Settings {
    /// What commands go by beside it.
    package var keyKeeping: KeyKeeping {
        KeyKeeping(
            rotationInterval: keys.rotationInterval, algorithm: signingAlgorithm.rawValue,
            holder: (token == nil ? KeyHolder.database : .token).rawValue)
    }

    /// nil: tokens do not name their bit, and no list is served.
    package var statusListAddresses: StatusListAddresses? {
        statusList.choice == .on ? StatusListAddresses(issuer: issuer) : nil
    }

    package var masterKeySource: MasterKeySource {
        masterKeyDescriptor.map { .descriptor($0) } ?? .folder(keysDirectory)
    }

    /// What tokens may be signed by, the installation's own algorithm first.
    package var signingAlgorithms: [SignatureAlgorithm] {
        let others = token == nil ? SignatureAlgorithm.allCases : SecurityToken.algorithms
        return [signingAlgorithm] + others.filter { $0 != signingAlgorithm }
    }
}

/// A PKCS #11 token and how to use it.
package struct TokenSettings: Sendable {
    /// The path of the vendor's library.
    package let module: String
    /// At most 32 bytes.
    package let label: String
    /// The user's PIN.
    @Masked package var pin: String

    package init(module: String, label: String, pin: String) {
        self.module = module
        self.label = label
        _pin = Masked(wrappedValue: pin)
    }
}

extension SecurityToken {
    package convenience init(_ settings: TokenSettings) {
        self.init(module: settings.module, label: settings.label, pin: SecretBytes(Array(settings.pin.utf8)))
    }
}

/// A text that is secret: printed, reflected and dumped as `****`.
@propertyWrapper
package struct Masked: Sendable, CustomStringConvertible, CustomReflectable {
    package var wrappedValue: String

    package init(wrappedValue: String) {
        self.wrappedValue = wrappedValue
    }

    package var description: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Whether passwords are hashed with a key from outside the database beside their salts.
package enum PasswordPepperChoice: String, Sendable, CaseIterable {
    case none
    /// Derived from the master key: a hash names its version, which cannot be retired while it does.
    case masterKey = "master-key"
}

/// What a failover of PostgreSQL may lose.
package enum Failover: String, Sendable, CaseIterable {
    /// Nothing that was acknowledged: the standby that takes over is a synchronous one.
    case synchronous
    /// The last commits: every failover ends every session and token, since any of them may have ended in those.
    case lossy
}

/// Which defaults hold where nothing is set.
package enum SettingsProfile: Sendable {
    /// `latchkey serve`.
    case serve
    /// `latchkey dev`: a rotation can be watched, and anybody may register.
    case dev
    /// A command that acts on an installation without serving: needs no issuer.
    case command
}

/// Everything that is wrong with the settings, at once.
package struct SettingsError: Error, Sendable, CustomStringConvertible {
    package let problems: [String]

    package var description: String {
        (["the settings are not usable:"] + problems.map { "  \($0)" }).joined(separator: "\n")
    }
}
