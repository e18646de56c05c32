internal import AsyncHTTPClient
internal import Hummingbird
package import HummingbirdCore
internal import LatchkeyVerifier
package import Logging
internal import ServiceLifecycle

/// The guard: a verifier that follows its issuer, a port that judges, and a port for its operators.
package struct Guard: Service {
    /// How the ports read HTTP. The guard's own rooms see requests that were read strictly, and what the edge refuses comes
    /// to them as a target that no caller can send.
    package struct Edge: Sendable {
        let server: HTTPServerBuilder
        let management: HTTPServerBuilder
        let refusal: @Sendable (_ target: String) -> Int?

        /// - Parameter refusal: the status for such a target, nil for a caller's.
        package init(
            server: HTTPServerBuilder, management: HTTPServerBuilder,
            refusal: @escaping @Sendable (_ target: String) -> Int?
        ) {
            self.server = server
            self.management = management
            self.refusal = refusal
        }
    }

    private let settings: GuardSettings
    private let verifier: Verifier
    private let edge: Edge
    private let registry: MetricsRegistry
    private let logger: Logger
    private let onReady: @Sendable (Int) -> Void

    /// - Parameters:
    ///   - registry: what `/metrics` shows, installed already.
    ///   - onReady: called with the port once tokens are judged.
    /// - Throws: `GuardSettingsError`.
    package init(
        _ settings: GuardSettings, edge: Edge, registry: MetricsRegistry, logger: Logger,
        onReady: @escaping @Sendable (_ port: Int) -> Void
    ) throws(GuardSettingsError) {
        self.settings = settings
        self.edge = edge
        self.registry = registry
        self.logger = logger
        self.onReady = onReady
        do throws(VerifierError) {
            verifier = try Verifier(
                issuer: settings.issuer, audience: settings.audience, staleAfter: settings.staleAfter,
                whenStale: settings.whenStale, name: settings.name, credentials: settings.credentials,
                leeway: settings.leeway, logger: logger)
        } catch {
            throw GuardSettingsError(problems: ["\(GuardSetting.issuer.variable) is '\(settings.issuer)': \(error)"])
        }
    }

    /// Serves until graceful shutdown, which answers what is under way first.
    package func run() async throws {
        guard let upstream = settings.upstream else { return try await serve { .check(check($0)) } }
        let client = ReverseProxy.makeClient(silence: settings.upstreamTimeout)
        let result: Result<Void, any Error>
        do {
            try await serve { counts in
                .proxy(
                    ReverseProxy(
                        to: upstream, over: client, requirement: settings.requirement,
                        authorization: settings.authorization, counts: counts, verify))
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        // Its only error is that a request was under way: that one has had its time.
        try? await client.shutdown()
        try result.get()
    }

    private func check(_ counts: GuardCounts) -> AuthorizationCheck {
        AuthorizationCheck(requirement: settings.requirement, authorization: settings.authorization, verify)
    }

    private var verify: @Sendable (String) async throws -> AccessToken {
        { [verifier] token in try await verifier.verify(token) }
    }

    private func serve(_ door: (GuardCounts) -> GuardResponder.Door) async throws {
        let counts = GuardCounts(factory: registry)
        let (ports, running) = AsyncStream.makeStream(of: Int.self)
        let server = Application(
            responder: GuardResponder(door: door(counts), counts: counts, refusedByEdge: edge.refusal),
            server: edge.server,
            configuration: .init(address: .hostname(settings.host, port: settings.port), serverName: nil),
            onServerRunning: { channel in running.yield(channel.localAddress?.port ?? 0) }, logger: logger)
        let management = Application(
            router: ManagementRoutes(verifier: verifier, whenStale: settings.whenStale, registry: registry).router(),
            server: edge.management,
            configuration: .init(
                address: .hostname(settings.managementHost, port: settings.managementPort), serverName: nil),
            logger: logger)
        let announcement = Announcement(verifier: verifier, ports: ports, logger: logger, onReady: onReady)
        try await ServiceGroup(services: [verifier, announcement, management, server], logger: logger).run()
    }
}

/// Says once that tokens are judged, and, for as long as they are not, why.
private struct Announcement: Service {
    let verifier: Verifier
    let ports: AsyncStream<Int>
    let logger: Logger
    let onReady: @Sendable (Int) -> Void

    /// Returns at the shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await port in ports {
                while !Task.isCancelled {
                    do throws(VerifierError) {
                        try await verifier.waitUntilReady(within: .seconds(10))
                        onReady(port)
                        break
                    } catch {
                        if Task.isCancelled { return }
                        logger.warning(
                            "no token can be judged yet, and every request is answered 503",
                            metadata: ["reason": .string(error.description)])
                    }
                }
            }
        }
    }
}
