import Foundation
package import JOSE
import LibCrypto
package import Logging
import PKCS11
package import Postgres

/// The features over one database and one set of master keys: what the routes, the command line and the tests all call.
/// Nothing in here serves; `Node` does.
package struct Installation: Sendable {
    package let settings: Settings
    /// This process among the nodes.
    package let node: UniqueID
    package let database: Database
    let pulse: Database
    package let lostHistory: LostHistory
    package let masterKeyRing: MasterKeyRing
    package let resealing: Resealing
    package let clock: NodeClock
    package let revocations: RevocationList
    package let indices: StatusIndices
    package let statusLists: StatusLists
    package let feed: RevocationFeed
    package let ring: KeyRing
    package let signingKeys: SigningKeys
    package let compromises: KeyCompromises
    package let keyUse: KeyUse
    package let idempotency: Idempotency
    package let users: Users
    package let guesses: Guesses
    package let roles: Roles
    package let clients: Clients
    package let clientTokens: ClientTokens
    package let sessions: Sessions
    package let judge: TokenJudge
    package let tokens: TokenRevocation
    package let audit: AuditLog
    let upgrades: PasswordUpgrades
    private let signing: SigningThreads
    /// nil where no token is set.
    private let tokenSigning: SigningThreads?
    let logger: Logger

    /// Nanoseconds that a request waits for the database in all: what is left of two seconds is for the answer itself.
    package static let patience: Int64 = 1_750_000_000

    /// Opens no connection yet.
    /// - Parameter patience: another than that.
    package init(
        _ settings: Settings, as role: ProcessRole = .node, masterKeys: MasterKeys, logger: Logger,
        patience: Int64 = Installation.patience
    ) {
        self.settings = settings
        self.logger = logger
        node = .version7(
            millisecondsSince1970: Int64(Date().timeIntervalSince1970 * 1000), random: SecureRandom.bytes(10))
        var configuration = DatabaseConfiguration(connectionString: settings.databaseURL)
        configuration.applicationName = RevocationSQL.applicationName(of: node)
        configuration.maximumConnections = settings.databaseConnections
        let history = KnownHistory()
        configuration.gate = history.gate
        let asPulse = configuration.statementTimeout
        configuration.statementTimeout = patience
        database = Database(configuration)
        // In the requests' queue a tick would wait behind statements that all wait for one row, and the node would go
        // stale: its pulse has connections of its own.
        configuration.statementTimeout = asPulse
        configuration.maximumConnections = 2
        configuration.gate = history.pulseGate
        pulse = Database(configuration)
        clock = NodeClock()
        let masterKeys = MasterKeyRing(
            masterKeys, from: settings.masterKeySource, database, pulse: pulse, clock: clock, logger: logger)
        masterKeyRing = masterKeys
        resealing = Resealing(database, masterKeys: masterKeys)
        // Lists live as long as the tokens of the sessions in them.
        indices = StatusIndices(database, sessionLife: settings.session.maxTTL + settings.accessTokenTTL)
        let token = settings.token.map { SecurityToken($0) }
        let ring = KeyRing(
            database, pulse: pulse, masterKeys: masterKeys, policy: settings.keyPolicy,
            algorithm: settings.signingAlgorithm, clock: clock, token: token, logger: logger)
        self.ring = ring
        let lostHistory = LostHistory(
            pulse,
            signingKeys: SigningKeys(
                pulse, as: role, masterKeys: masterKeys, policy: settings.keyPolicy, clock: clock,
                algorithm: settings.signingAlgorithm, token: token),
            masterKeys: masterKeys, remembered: { ring.keys }, logger: logger)
        self.lostHistory = lostHistory
        revocations = RevocationList(database, pulse: pulse, clock: clock, history: history) {
            epoch throws(PostgresError) in
            try await lostHistory.begin(after: epoch)
        }
        feed = RevocationFeed(
            revocations, pulse: pulse, masterKeys: masterKeys, node: node, issuer: settings.issuer)
        statusLists = StatusLists(
            revocations, indices: indices, ring: ring, issuer: settings.issuer, lifetime: settings.accessTokenTTL,
            settings: settings.statusList)
        let clients = Clients(
            database,
            keys: ClientSecretKeys(current: { masterKeys.keys.current }) { version in
                let keys = masterKeys.keys
                if let key = keys.clientSecretKey(version: version) { return .held(key) }
                return keys.isVoid(version) ? .retired : .unknown
            }, indices: indices)
        self.clients = clients
        idempotency = Idempotency(
            database,
            secrets: .init(current: { masterKeys.keys.current }) { version in
                let keys = masterKeys.keys
                if keys.isVoid(version) { return .retired }
                return keys.idempotencySecret(version: version).map { .held($0) } ?? .unknown
            })
        signingKeys = SigningKeys(
            database, as: role, masterKeys: masterKeys, policy: settings.keyPolicy, clock: clock,
            algorithm: settings.signingAlgorithm,
            token: token, alsoInUse: { try await clients.algorithms() })
        compromises = KeyCompromises(signingKeys, ring: ring, revocations: revocations, logger: logger)
        keyUse = KeyUse(database, clock: clock, logger: logger)
        signing = SigningThreads()
        tokenSigning = token.map { _ in SigningThreads(patience: SecurityToken.callersPatience) }
        let hasher = PasswordHasher(
            .init(
                parameters: settings.argon2, memoryBudgetKiB: settings.hashingMemoryKiB,
                queueWait: .seconds(settings.hashingQueueWait),
                pepper: PasswordPepper(
                    current: { settings.passwordPepper == .masterKey ? masterKeys.keys.current : nil },
                    key: { masterKeys.keys.passwordPepper(version: $0) })))
        users = Users(database, hasher: hasher)
        guesses = Guesses(database, masterKeys: masterKeys, limits: settings.guesses, logger: logger)
        roles = Roles(database)
        upgrades = PasswordUpgrades(users, logger: logger)
        let issuer = TokenIssuer(
            ring: ring, use: keyUse, threads: signing, tokenThreads: tokenSigning ?? signing, issuer: settings.issuer,
            lifetime: settings.accessTokenTTL, statusLists: settings.statusListAddresses)
        clientTokens = ClientTokens(
            clients, issuer: issuer, revocations: revocations, audience: settings.audience,
            resources: settings.resources)
        sessions = Sessions(
            database, users: users, guesses: guesses, masterKeys: masterKeys, issuer: issuer, revocations: revocations,
            indices: indices, upgrades: upgrades, policy: settings.session, audience: settings.audience,
            resources: settings.resources, logger: logger)
        judge = TokenJudge(
            ring: ring, revocations: revocations, clock: clock, issuer: settings.issuer,
            audiences: [settings.audience] + settings.resources)
        tokens = TokenRevocation(
            sessions, judge: judge, revocations: revocations, leeway: settings.keys.leeway)
        audit = AuditLog(database)
    }

    package var masterKeys: MasterKeys { masterKeyRing.keys }

    /// What signs access tokens.
    var signers: [SigningThreads] { [signing] + (tokenSigning.map { [$0] } ?? []) }

    package var migrator: Migrator { Migrator(database, Migrations.all) }

    /// Reads list and keys once, for a command that judges a token without being a node.
    package func readOnce() async throws {
        await ring.follow(try await revocations.readAndClaim())
    }

    /// Ends threads and connections.
    package func close() {
        users.hasher.shutdown()
        for threads in signers { threads.shutDown() }
        database.shutDown()
        pulse.shutDown()
    }
}
