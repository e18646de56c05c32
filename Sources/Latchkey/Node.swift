package import Hummingbird
import JOSE
import LatchkeyHummingbird
import Logging
import NIOCore
package import PKCS11
package import Postgres
import ServiceLifecycle

/// A node that serves an installation: routes, ticks, housekeeping.
package struct Node: Service {
    package static let version = "0.1.0"

    private let installation: Installation
    private let logger: Logger
    private let tick: NodeTick
    private let onReady: @Sendable (Int) async -> Void

    /// - Parameter onReady: called with the port once requests are accepted.
    package init(_ installation: Installation, onReady: @escaping @Sendable (_ port: Int) async -> Void = { _ in }) {
        self.installation = installation
        logger = installation.logger
        self.onReady = onReady
        let (ring, feed) = (installation.ring, installation.feed)
        let (masterKeys, logger) = (installation.masterKeyRing, installation.logger)
        let indices = installation.indices
        tick = NodeTick(
            installation.revocations, node: installation.node, version: Self.version,
            masterKeys: { masterKeys.keys.versions }, settings: installation.settings.inForce,
            logger: logger,
            onReading: { reading in
                indices.follow(reading)
                await masterKeys.follow(reading)
                await feed.key.follow(reading, logger: logger)
                await ring.follow(reading)
            }, onRead: { feed.listWasRead() })
    }

    /// Why a node does not start.
    package enum StartError: Error, Sendable, Equatable, CustomStringConvertible {
        case migrations(MigrationStatus)
        case cannotSign
        /// The last key was declared compromised, and this node can make none.
        case noSigner(why: String)
        case token(SecurityTokenError)
        case masterKeys(MasterKeyRefusal)

        package var description: String {
            switch self {
            case .migrations(.behind(let missing)):
                "the database lacks \(missing.joined(separator: ", ")): run `latchkey migrate`"
            case .migrations(.ahead(let unknown)):
                "a newer latchkey has migrated the database (\(unknown.joined(separator: ", "))): run that version"
            case .migrations(.edited(let name)):
                "migration \(name) differs from the one that was applied: run the version that applied it"
            case .migrations(.current): "the database is current"
            case .token(let error): "the signing key's PKCS #11 token cannot be used: \(error)"
            case .masterKeys(let refusal): refusal.description
            case .noSigner(let why):
                "no signing key is left, and this node can make none: \(why). Mend that; or, where a PKCS #11 token is gone "
                    + "for good, start a node with another one's LATCHKEY_PKCS11_MODULE and fellows, or with none"
            case .cannotSign:
                "the current signing key does not open with the master keys in LATCHKEY_KEYS_DIR: are these this "
                    + "installation's keys?"
            }
        }
    }

    /// What must be true before a node answers: migrations current, the settings in force as wide as this node's (its
    /// first tick sees to it), keys founded, the ring read, and a signing key that opens.
    package func prepare() async throws {
        let status = try await installation.migrator.status()
        guard status == .current else { throw StartError.migrations(status) }
        try await tick.tick()
        try await installation.signingKeys.found(origin: Origin(actor: "node"))
        try await settleMasterKeys()
        try await endVacancy()
        try await tick.tick()
        if let failure = await installation.ring.proveToken() { throw StartError.token(failure) }
        // A version that has begun to mint before the others knew of this node.
        if let minting = installation.masterKeyRing.records.minting, !installation.masterKeyRing.canMint {
            throw StartError.masterKeys(.missing(minting.version, in: installation.settings.masterKeySource.place))
        }
        guard await installation.ring.canSign() else { throw StartError.cannotSign }
        try await installation.feed.key.found()
        try await installation.revocations.keep(installation.settings.keyKeeping)
    }

    /// Before a node that nobody could sign with answers. Where it makes keys counts once it has made one: it may be the one
    /// with which an installation leaves a token that is gone, or one whose own token is.
    private func endVacancy() async throws {
        guard try await installation.signingKeys.nobodySigns() else { return }
        do {
            try await installation.signingKeys.endVacancy(origin: Origin(actor: "node")) {
                KeyRotation.tell($0, logger)
            }
            try await installation.revocations.keep(installation.settings.keyKeeping)
        } catch {
            guard let error = error as? any LoggableError, !(error is PostgresError) else { throw error }
            throw StartError.noSigner(why: error.loggable)
        }
    }

    private func settleMasterKeys() async throws {
        let (keys, now) = try await installation.signingKeys.all()
        do {
            try await installation.masterKeyRing.settle(keys, now: now, origin: Origin(actor: "node"))
        } catch let refusal as MasterKeyRefusal {
            throw StartError.masterKeys(refusal)
        }
    }

    /// Serves until graceful shutdown. In order of dependency; shutdown is the reverse and drains the servers first.
    package func run() async throws {
        try await prepare()
        if SchedulingGroup.lower() == .notOurs {
            logger.info(
                "processors are shared out by session and this one is a terminal's: in a storm of log ins a database on this machine may wait"
            )
        }
        let settings = installation.settings
        let onReady = onReady
        let traffic = HTTPTraffic(routes: routes().routes.map(\.path.description))
        let edge = EdgeTraffic()
        var limits = settings.edge
        limits.connections = OpenFiles.makeRoom(for: limits.connections, beside: settings.databaseConnections)
        // Operators and their probes alone come there: it needs few, and takes none from the callers' files.
        var few = limits
        few.connections = min(limits.connections, 64)
        // It drains behind the callers' port, to be asked about this node for as long as that does.
        few.drain = .seconds(1)
        let server = Application(
            router: router(traffic),
            server: .edge(limits, counting: edge),
            configuration: .init(address: .hostname(settings.host, port: settings.port), serverName: nil),
            onServerRunning: { channel in await onReady(channel.localAddress?.port ?? settings.port) },
            logger: logger)
        let management = Application(
            router: managementRouter(traffic, edge),
            server: .edge(few),
            configuration: .init(
                address: .hostname(settings.managementHost, port: settings.managementPort), serverName: nil),
            logger: logger)
        let group = ServiceGroup(
            services: [
                tick, FrozenNodes(installation.pulse, logger: logger), installation.upgrades,
                Housekeeping(installation, logger: logger),
                KeyRotation(installation.ring, keys: installation.signingKeys, logger: logger), installation.keyUse,
                TokenWatch(installation.ring, logger: logger),
                MasterKeyWatch(
                    installation.masterKeyRing, installation.resealing, ring: installation.ring, logger: logger),
                management, server,
                // Its streams never end by themselves: it is told first.
                installation.feed,
            ], logger: logger)
        try await group.run()
    }

    /// One for each port: a flood of one is no reason to refuse the other.
    private func policy() -> EdgePolicy {
        let settings = installation.settings
        return EdgePolicy(
            proxies: settings.trustedProxies,
            transport: settings.issuer.utf8.starts(with: "https://".utf8) ? .strict : .plain,
            requests: settings.edge.requests)
    }

    private func router(_ traffic: HTTPTraffic) -> Router<LatchkeyRequestContext> {
        let router = routes(counting: traffic)
        router.refuseOtherMethods(
            heads: .generated, open: Set([JWKSRoutes.path] + DiscoveryRoutes.paths + StatusListRoutes.paths))
        return router
    }

    /// Every route of the service, as `openapi.yaml` describes them: without the refusals of other methods.
    package func routes(counting traffic: HTTPTraffic = HTTPTraffic()) -> Router<LatchkeyRequestContext> {
        let it = installation
        let router = Router(context: LatchkeyRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: ErrorMiddleware(policy(), counting: traffic))
        HealthRoutes(it).add(to: router)
        JWKSRoutes(it.ring, use: it.keyUse).add(to: router)
        let feedKey = it.feed.key
        DiscoveryRoutes(
            issuer: it.settings.issuer, algorithms: it.settings.signingAlgorithms,
            statusLists: it.settings.statusListAddresses
        ) { feedKey.jwks }.add(to: router)
        // What stands above asks the database for nothing.
        router.add(middleware: PatienceMiddleware(nanoseconds: it.database.configuration.statementTimeout))
        FeedRoutes(it.feed, clients: it.clients, settings: it.settings.feed).add(to: router)
        StatusListRoutes(it.statusLists).add(to: router)
        RegistrationRoutes(it.users, registration: it.settings.registration, idempotency: it.idempotency).add(
            to: router)
        SessionRoutes(it.sessions).add(to: router)
        TokenRoutes(it.sessions, clients: it.clients, clientTokens: it.clientTokens).add(to: router)
        RevocationRoutes(it.tokens, clients: it.clients).add(to: router)

        let judge = it.judge
        IntrospectionRoutes(it.sessions, clients: it.clients, judge: judge, issuer: it.settings.issuer).add(to: router)
        let guarded = router.group().add(middleware: BearerMiddleware { token in try judge.admit(token) })
        SessionRoutes(it.sessions).addGuarded(to: guarded)
        AccountRoutes(it.sessions, users: it.users).add(to: guarded)
        UserAdministration(users: it.users, roles: it.roles, sessions: it.sessions, idempotency: it.idempotency)
            .add(to: guarded)
        SessionAdministration(it.sessions, users: it.users, tokens: it.tokens).add(to: guarded)
        ClientAdministration(it.clients, sessions: it.sessions, idempotency: it.idempotency).add(to: guarded)
        KeyAdministration(it.signingKeys, use: it.keyUse).add(to: guarded)
        KeyCompromiseAdministration(it.compromises, sessions: it.sessions).add(to: guarded)
        AuditAdministration(it.audit).add(to: guarded)
        return router
    }

    private func managementRouter(
        _ traffic: HTTPTraffic, _ edge: EdgeTraffic
    ) -> Router<LatchkeyRequestContext> {
        let router = Router(context: LatchkeyRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: ErrorMiddleware(policy()))
        HealthRoutes(installation).add(to: router)
        MetricsRoutes(installation, traffic: traffic, edge: edge).add(to: router)
        router.refuseOtherMethods(heads: .generated)
        return router
    }
}
