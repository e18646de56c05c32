import Foundation
import Glibc
import LatchkeyTesting
import Testing

/// Envoy with the configuration of docs/packaging, between a guard and a service.
struct Envoy: Asked, Sendable {
    let port: Int

    /// Runs `body` with an Envoy of this user's own: two threads, no administration port, no restarts in place.
    static func run(guardPort: Int, servicePort: Int, _ body: (Envoy) async throws -> Void) async throws {
        let program = URL(filePath: try await StrangersPython.interpreter()).deletingLastPathComponent()
            .appending(path: "envoy").path
        let folder = "/tmp/latchkey-envoy-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let port = FreePort.next()
        var configuration = try Packaging.text("envoy-guard.yaml")
        for (given, ours) in [
            ("port_value: 8000", "port_value: \(port)"), ("port_value: 3000", "port_value: \(servicePort)"),
            ("port_value: 8070", "port_value: \(guardPort)"), ("127.0.0.1:8070", "127.0.0.1:\(guardPort)"),
        ] {
            #expect(configuration.contains(given), "\(given)")
            configuration = configuration.replacing(given, with: ours)
        }
        let path = "\(folder)/envoy.yaml"
        try configuration.write(toFile: path, atomically: true, encoding: .utf8)
        let process = try await ChildProcess.start([
            program, "-c", path, "--concurrency", "2", "--disable-hot-restart", "--log-level", "error",
        ])
        let result: Result<Void, any Error>
        do {
            let envoy = Envoy(port: port)
            let isUp = await becomesTrue { (try? await envoy.send("/").status) != nil }
            try #require(isUp, "\(process.transcript.errors)")
            result = .success(try await body(envoy))
        } catch {
            result = .failure(error)
        }
        process.send(SIGKILL)
        try await process.end()
        try result.get()
    }
}

/// The files that docs/packaging gives out.
enum Packaging {
    static func text(_ name: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "docs/packaging/\(name)"), encoding: .utf8)
    }
}
