import ArgumentParser
import Foundation
import Latchkey
import LatchkeyGuard
import NIOCore
import ServiceLifecycle
import UnixSignals

struct GuardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "guard",
        abstract: "Verifies tokens beside a service: for nginx and Envoy that ask, or as a proxy before the service.",
        discussion: """
            Needs no database and no master key: it verifies offline, and refuses what was revoked within a second.
            Every option is a variable of the environment too: LATCHKEY_GUARD_ISSUER, LATCHKEY_GUARD_STALE_AFTER, …
            Examples:
              latchkey guard --issuer https://id.example --audience https://orders.example
                                      nginx asks at http://127.0.0.1:8070/check, Envoy below /envoy
              latchkey guard --issuer https://id.example --audience https://orders.example --scope orders:read \\
                  --upstream http://127.0.0.1:3000
                                      a proxy before the service on port 3000
            """)

    @Option(help: "What `iss` of a token must be, byte for byte.") var issuer: String?
    @Option(help: "What `aud` of a token must hold, byte for byte.") var audience: String?
    @Option(help: "The address to listen on (127.0.0.1).") var host: String?
    @Option(help: "The port to listen on (8070).") var port: String?
    @Option(help: "The address of /livez, /readyz and /metrics (127.0.0.1).") var managementHost: String?
    @Option(help: "Their port (the port + 1000).") var managementPort: String?
    @Option(help: "A scope that every token must carry; as often as there are some.") var scope: [String] = []
    @Option(help: "A role that every token must carry; as often as there are some.") var role: [String] = []
    @Option(help: "How old the list of what is revoked may be, in seconds (5).") var staleAfter: String?
    @Option(help: "What to do with good tokens beyond that: refuse or accept (refuse).") var whenStale: String?
    @Option(help: "By how much this machine's clock may differ from the issuer's, in seconds (30).") var leeway: String?
    @Option(help: "What `latchkey keys verifiers` calls this process.") var name: String?
    @Option(
        help: ArgumentHelp(
            "A file of mode 0600 with ID:SECRET, a client's, where the feed is not for everyone.", valueName: "FILE"),
        completion: .file())
    var credentialsFile: String?
    @Option(help: "The service to stand before: http://HOST:PORT. Without it the guard answers nginx or Envoy.")
    var upstream: String?
    @Option(help: "How long the service may say nothing, in seconds (60).") var upstreamTimeout: String?
    @Option(help: "What becomes of `Authorization` on the way to the service: drop or pass (drop).")
    var authorization: String?
    @Option(help: "How long a request's body may be on its way to the service, in bytes (16777216).")
    var bodyLimit: String?
    @Option(help: "trace, debug, info, notice, warning, error or critical (info).") var logLevel: String?

    private var options: [GuardSetting: String] {
        let given: [GuardSetting: String?] = [
            .issuer: issuer, .audience: audience, .host: host, .port: port, .managementHost: managementHost,
            .managementPort: managementPort, .scope: scope.joined(separator: " "), .role: role.joined(separator: " "),
            .staleAfter: staleAfter, .whenStale: whenStale, .leeway: leeway, .name: name,
            .credentialsFile: credentialsFile, .upstream: upstream, .upstreamTimeout: upstreamTimeout,
            .authorization: authorization, .bodyLimit: bodyLimit, .logLevel: logLevel,
        ]
        return given.compactMapValues(\.self)
    }

    func run() async throws {
        let settings = try GuardSettings(
            options: options, environment: ProcessInfo.processInfo.environment,
            hostName: ProcessInfo.processInfo.hostName)
        let logger = Logs.logger(settings.logLevel)
        // Before the verifier is made: its counters are this registry's.
        let registry = MetricsRegistry()
        registry.install()
        let host = settings.host
        let it = try Guard(settings, edge: Self.edge(settings), registry: registry, logger: logger) { port in
            Output.line("ready: http://\(host):\(port)")
        }
        var configuration = ServiceGroupConfiguration(
            services: [it], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(9)
        configuration.maximumCancellationDuration = .seconds(1)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw Failure(
                "port \(settings.port) or \(settings.managementPort) of \(host) is taken: choose others with --port and "
                    + "--management-port")
        }
    }

    /// HTTP is read as strictly as the server reads it.
    private static func edge(_ settings: GuardSettings) -> Guard.Edge {
        var limits = EdgeLimits()
        let isProxy = settings.upstream != nil
        // Behind each caller of a proxy is a connection of its own.
        limits.connections = OpenFiles.makeRoom(for: limits.connections, beside: isProxy ? limits.connections : 0)
        if isProxy {
            limits.bodyLimit = settings.bodyLimit
            // As long as a body comes at the least rate that is allowed.
            limits.body = .hours(24)
        }
        var few = EdgeLimits()
        few.connections = 64
        // It drains behind the other one.
        few.drain = .seconds(1)
        return Guard.Edge(server: .edge(limits), management: .edge(few)) { EdgeRefusal.status(ofTarget: $0) }
    }
}
