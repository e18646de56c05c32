import ArgumentParser
import Foundation
import Latchkey
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serves an installation, as the environment (LATCHKEY_…) and a file of settings say.",
        discussion: """
            Examples:
              LATCHKEY_DATABASE_URL=postgresql://latchkey@db/latchkey LATCHKEY_ISSUER=https://id.example latchkey serve
              latchkey serve --config /etc/latchkey/latchkey.yaml
              latchkey serve --data .latchkey --port 8081     a further node beside a running `latchkey dev`
            """)

    @OptionGroup var installation: InstallationOptions

    @Option(help: "The port to listen on (LATCHKEY_PORT).")
    var port: Int?

    func run() async throws {
        let settings = try installation.settings(.serve, flags: port.map { ["port": "\($0)"] } ?? [:])
        try installation.configuration.warn(Logs.logger(settings.logLevel))
        let masterKeys = try settings.masterKeySource.load()
        try await Serving.run(
            Installation(settings, masterKeys: masterKeys, logger: Logs.logger(settings.logLevel)))
    }
}

/// A node until SIGTERM or SIGINT.
enum Serving {
    /// - Parameter beside: what runs for as long as the node does.
    static func run(_ installation: Installation, beside services: [any Service] = []) async throws {
        defer { installation.close() }
        let host = installation.settings.host
        let node = Node(installation) { port in Output.line("ready: http://\(host):\(port)") }
        var configuration = ServiceGroupConfiguration(
            services: services + [node], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logs.logger(installation.settings.logLevel))
        // Ten seconds in all. What drains has deadlines of its own below these; a database that does not answer has not.
        configuration.maximumGracefulShutdownDuration = .seconds(9)
        configuration.maximumCancellationDuration = .seconds(1)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            let settings = installation.settings
            throw Failure(
                "port \(settings.port) or \(settings.managementPort) of \(host) is taken: choose others with --port and "
                    + "LATCHKEY_MANAGEMENT_PORT")
        }
    }
}
