internal import Foundation
internal import LatchkeyVerifier
package import Logging

/// LatchkeyGuard: a process beside a service that cannot verify tokens itself. It verifies them offline, with
/// `LatchkeyVerifier`, and either answers another proxy that asks it (nginx, Envoy) or stands before the service itself.
/// It owns its settings, what a request must carry, and what the service behind is told. Nothing of the server.

/// What the guard was started with.
package struct GuardSettings: Sendable {
    package let issuer: String
    package let audience: String
    package let host: String
    /// 0: the kernel's choice.
    package let port: Int
    package let managementHost: String
    package let managementPort: Int
    /// What every token must carry.
    package let requirement: Requirement
    let staleAfter: Duration
    let whenStale: StalePolicy
    let leeway: Duration
    /// What the issuer's operators see.
    package let name: String
    let credentials: FeedCredentials?
    /// Where requests go; nil: the guard answers a proxy that asks.
    package let upstream: Upstream?
    /// How long the upstream may say nothing.
    let upstreamTimeout: Duration
    package let authorization: AuthorizationField
    /// Of a request, in bytes.
    package let bodyLimit: Int
    package let logLevel: Logger.Level

    /// What becomes of `Authorization` on its way to the service.
    package enum AuthorizationField: String, CaseIterable, Sendable {
        /// The service has the identity, and nothing that it could lose: who reads its log reads no token.
        case drop
        /// For a service that calls others in the caller's name.
        case pass
    }

    private enum WhenStale: String, CaseIterable { case refuse, accept }

    /// - Parameters:
    ///   - options: of the command line.
    ///   - environment: the process's.
    ///   - hostName: this machine's, for the name.
    package init(
        options: [GuardSetting: String], environment: [String: String], hostName: String
    ) throws(GuardSettingsError) {
        var reading = GuardSettingsReading(options: options, environment: environment)
        issuer = reading.required(.issuer)
        audience = reading.required(.audience)
        host = reading.given(.host) ?? "127.0.0.1"
        let port = reading.int(.port, default: 8070, in: 0...65_535)
        self.port = port
        managementHost = reading.given(.managementHost) ?? "127.0.0.1"
        let besidePort = port == 0 ? 0 : port <= 64_535 ? port + 1000 : port - 1000
        managementPort = reading.int(.managementPort, default: besidePort, in: 0...65_535)
        requirement = Requirement(scopes: reading.words(.scope), roles: reading.words(.role))
        staleAfter = .seconds(reading.int(.staleAfter, default: 5, in: 3...3600))
        whenStale = reading.choice(.whenStale, default: WhenStale.refuse) == .accept ? .accept : .refuse
        leeway = .seconds(reading.int(.leeway, default: 30, in: 0...300))
        name = Self.name(&reading, host: hostName, port: port)
        credentials = Self.credentials(&reading)
        upstream = reading.given(.upstream).flatMap { text in
            if let upstream = Upstream(text) { return upstream }
            reading.refuse(.upstream, text, allowed: "http://HOST:PORT or https://HOST:PORT, without a path")
            return nil
        }
        upstreamTimeout = .seconds(reading.int(.upstreamTimeout, default: 60, in: 1...86_400))
        authorization = reading.choice(.authorization, default: .drop)
        bodyLimit = reading.int(.bodyLimit, default: 16 << 20, in: 0...(1 << 40))
        logLevel = reading.choice(.logLevel, default: .info)
        guard reading.problems.isEmpty else { throw GuardSettingsError(problems: reading.problems) }
    }

    /// 1 to 64 of `A-Z a-z 0-9 . _ - / :`, which the issuer reads; unless given, one for each port of a machine.
    private static func name(_ reading: inout GuardSettingsReading, host: String, port: Int) -> String {
        func isAllowed(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x39: true
            default: "._-/:".utf8.contains(byte)
            }
        }
        guard let given = reading.given(.name) else {
            let host = String(decoding: host.utf8.filter(isAllowed).prefix(48), as: UTF8.self)
            return "guard/\(host):\(port)"
        }
        if 1...64 ~= given.utf8.count, given.utf8.allSatisfy(isAllowed) { return given }
        reading.refuse(.name, given, allowed: "1 to 64 of A-Z a-z 0-9 . _ - / :")
        return ""
    }

    /// `ID:SECRET`, from the environment or a file's first line. What is refused is not repeated: it may be the secret.
    private static func credentials(_ reading: inout GuardSettingsReading) -> FeedCredentials? {
        var text = reading.given(.credentials)
        if let path = reading.given(.credentialsFile) {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                reading.refuse(.credentialsFile, path, allowed: "a file that can be read")
                return nil
            }
            let mode = (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? Int
            guard let mode, mode & 0o077 == 0 else {
                reading.refuse(.credentialsFile, path, allowed: "a file that nobody else may read (mode 0600)")
                return nil
            }
            text = String(validating: bytes.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self) ?? ""
        }
        guard let text else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            reading.problems.append("the credentials are not of the form ID:SECRET")
            return nil
        }
        return FeedCredentials(clientID: String(parts[0]), secret: String(parts[1]))
    }
}
