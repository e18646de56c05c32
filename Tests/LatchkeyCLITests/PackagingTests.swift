import Foundation
import JOSE
import LatchkeyTesting
import Testing

/// The systemd unit and the Dockerfile, as far as they can be tried without installing or building anything.
@Suite struct PackagingTests {
    private static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "docs/packaging")

    private static func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }

    private static let systemdAnalyze = "/usr/bin/systemd-analyze"

    /// Fails where there is none: a unit that nobody tried once killed every node at its start.
    private static func requireSystemd() throws {
        try #require(
            FileManager.default.isExecutableFile(atPath: systemdAnalyze),
            "the unit cannot be tried: \(systemdAnalyze) is missing (Debian's package systemd; `make test` installs it)"
        )
    }

    @Test func `systemd finds nothing wrong with the unit, nor much that it may do`() async throws {
        try Self.requireSystemd()
        try await Dev.withFolder { folder in
            let unit = try Self.text("latchkey.service").replacing("/usr/local/bin/latchkey", with: LatchkeyBinary.path)
            let path = "\(folder.home)/latchkey.service"
            try unit.write(toFile: path, atomically: true, encoding: .utf8)
            let verified = try await ChildProcess.start([Self.systemdAnalyze, "verify", "--man=no", path]).end()
            #expect(verified.exit == .code(0), "\(verified.errors)")
            #expect(verified.errors == "")
            // 10 is everything, 0 nothing.
            let secure = try await ChildProcess.start(
                [Self.systemdAnalyze, "security", "--offline=true", "--threshold=20", path]
            ).end()
            #expect(secure.exit == .code(0), "\(secure.output.suffix(200))")
        }
    }

    enum KeyPlace: CaseIterable { case database, token }

    @Test(
        "What the unit lets a process ask of the kernel is enough for a node's whole life", arguments: KeyPlace.allCases
    )
    func confined(keys: KeyPlace) async throws {
        try Self.requireSystemd()
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "clients/confined.py").path
        let confinement = [
            "/usr/bin/python3", "-B", script, Self.folder.appending(path: "latchkey.service").path,
        ]
        // Nothing would be shown by a list that lets everything pass.
        let beyond = try await ChildProcess.start(confinement + ["/usr/bin/ionice", "-c", "3", "/bin/true"]).end()
        #expect(beyond.exit == .signal(SIGSYS), "\(beyond.errors)")

        try await ServeGround.run { ground in
            let port = FreePort.next()
            let token = keys == .token ? try await newToken(beside: ground.keys) : [:]
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(port)"], prefix: confinement,
                environment: ground.environment.merging(token) { $1 })
            _ = try await process.line(after: "ready: ")
            let site = Site(port: port)
            // A hash, signatures, the feed, a key that is made, an end of a session.
            let user = try await site.newUser("ada")
            try #require(user.status == 200)
            let refreshed = try await site.refresh(user["refresh_token"])
            #expect(try await site.account(refreshed["access_token"]) == 200)
            #expect(try await site.logIn("ada", "another horse").status == 401)
            #expect(try await site.get("/revocations").status == 200)
            #expect(try await site.revoke(refreshed["refresh_token"]).status == 200)
            #expect(try await site.account(refreshed["access_token"]) == 401)
            #expect(try await site.get("/readyz").status == 200)
            process.send(SIGTERM)
            #expect(try await process.end(within: 20).exit == .code(0), "\(process.transcript.errors.suffix(500))")
        }
    }

    /// A token of SoftHSM's, and the environment of a node that keeps its keys there.
    private func newToken(beside keys: String) async throws -> [String: String] {
        let folder = URL(filePath: keys).deletingLastPathComponent().path
        let module = try #require(SoftToken.module, "Debian's package softhsm2 is missing; `make test` installs it")
        let configuration = "\(folder)/softhsm2.conf"
        try FileManager.default.createDirectory(atPath: "\(folder)/tokens", withIntermediateDirectories: false)
        try "directories.tokendir = \(folder)/tokens\n".write(
            toFile: configuration, atomically: true, encoding: .utf8)
        let made = try await ChildProcess.start(
            [
                "/usr/bin/softhsm2-util", "--init-token", "--free", "--label", "a node", "--pin", "1234", "--so-pin",
                "1234",
            ],
            environment: ["SOFTHSM2_CONF": configuration]
        ).end()
        try #require(made.exit == .code(0), "\(made.errors)")
        return [
            "SOFTHSM2_CONF": configuration, "LATCHKEY_PKCS11_MODULE": module, "LATCHKEY_PKCS11_TOKEN": "a node",
            "LATCHKEY_PKCS11_PIN": "1234",
        ]
    }

    @Test func `The unit leaves a drain its time, and keeps no privilege`() throws {
        let lines = try Self.text("latchkey.service").split(separator: "\n").map(String.init)
        for line in [
            "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=on-failure", "TimeoutStopSec=15", "UMask=0077",
            "CapabilityBoundingSet=", "User=latchkey", "LimitCORE=0",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(lines.contains { $0.hasPrefix("LimitNOFILE=") })
    }

    @Test func `The image runs as a user of its own, on what Debian 12 has, and holds no key`() throws {
        let text = try Self.text("Dockerfile")
        let stages = text.components(separatedBy: "\nFROM ")
        try #require(stages.count == 3)
        #expect(stages[2].hasPrefix("debian:12-slim"))
        #expect(stages[2].contains("\nUSER latchkey\n"))
        for package in ["ca-certificates", "libargon2-1", "libpq5", "libssl3", "tzdata", "zlib1g"] {
            #expect(stages[2].contains(" \(package) "), "\(package)")
        }
        #expect(stages[2].matches(of: /COPY/).count == 1, "the binary and nothing else")
        let ignored = try Self.text("Dockerfile.dockerignore").split(separator: "\n").map(String.init)
        for path in [".git", ".latchkey", "keys/*"] { #expect(ignored.contains(path), "\(path)") }
    }

    @Test func `The image's health check tells a node that answers from one that does not`() async throws {
        let match = try #require(try Self.text("Dockerfile").firstMatch(of: /HEALTHCHECK .* CMD (\[.*\])/))
        let command = try JSONValue.parse(Array(String(match.1).utf8)).array?.compactMap(\.string) ?? []
        try #require(command.count == 3)
        let port = FreePort.next()
        try await ServeGround.run { ground in
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(FreePort.next())"],
                environment: ground.environment.merging(["LATCHKEY_MANAGEMENT_PORT": "\(port)"]) { $1 })
            _ = try await process.line(after: "ready: ")
            func check(_ port: Int) async throws -> Bool {
                try await ChildProcess.start(command, environment: ["LATCHKEY_MANAGEMENT_PORT": "\(port)"]).end().exit
                    == .code(0)
            }
            #expect(try await check(port))
            #expect(try await !check(FreePort.next()))
            process.send(SIGTERM)
            try await process.end(within: 20)
            #expect(try await !check(port))
        }
    }
}
