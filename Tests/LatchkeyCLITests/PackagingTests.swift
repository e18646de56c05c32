import Foundation
import JOSE
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
    private static var hasSystemd: Bool { FileManager.default.isExecutableFile(atPath: systemdAnalyze) }

    @Test(.enabled(if: hasSystemd)) func `systemd finds nothing wrong with the unit, nor much that it may do`()
        async throws
    {
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
