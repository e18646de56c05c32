import Foundation
import JOSE
import LatchkeyTesting
import Testing

/// `Examples/swift`, as it stands there, against a live Latchkey.
@Suite struct OrdersExampleTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test func `It serves what the token is for, and refuses it within a second of its end`() async throws {
        try await Dev.withFolder { folder async throws in
            try await Dev.run(in: folder) { dev async throws in
                let port = FreePort.next()
                let program = (LatchkeyBinary.path as NSString).deletingLastPathComponent + "/OrdersExample"
                let process = try await ChildProcess.start(
                    [program], environment: ["ISSUER": dev.site.issuer, "PORT": "\(port)"])
                let orders = Site(port: port)
                let user = try await dev.site.newUser("ada")
                let token = user["access_token"]
                // 503 until it has heard of its issuer.
                let serves = await becomesTrue(within: .seconds(30)) {
                    (try? await orders.get("/orders", bearer: token).status) == 200
                }
                #expect(serves, "\(process.transcript)")
                let me = try await dev.site.get("/account", bearer: token)["id"]
                #expect(try await orders.get("/orders", bearer: token)["owner"] == me)
                #expect(try await orders.get("/orders").status == 401)
                #expect(try await orders.get("/orders", bearer: token + "x").status == 401)
                #expect(try await orders.get("/orders/all", bearer: token).status == 403)
                #expect(try await orders.get("/orders/refunds", bearer: token).status == 403)
                #expect(try await orders.get("/orders/all", bearer: dev.administrator()).status == 200)

                #expect(try await dev.site.revoke(user["refresh_token"]).status == 200)
                let revoked = ContinuousClock.now
                #expect(try await becomesTrue { try await orders.get("/orders", bearer: token).status == 401 })
                let delay = ContinuousClock.now - revoked
                #expect(delay < .seconds(1), "\(delay)")
                process.send(SIGTERM)
                #expect(try await process.end(within: 20).exit == .code(0))
            }
        }
    }

    /// Evaluated, not built: a build of its own would fetch and compile all dependencies once more.
    @Test func `Its own manifest is one that the package manager takes, with this package beside it`() async throws {
        let scratch = FileManager.default.temporaryDirectory.appending(path: "latchkey-orders-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let process = try await ChildProcess.start(
            [
                "/usr/bin/env", "swift", "package", "--package-path", Self.root.appending(path: "Examples/swift").path,
                "--scratch-path", scratch.path, "dump-package",
            ], environment: ProcessInfo.processInfo.environment)
        let transcript = try await process.end(within: 120)
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        let manifest = try #require(try JSONValue.parse(Array(transcript.output.utf8)).object)
        let beside = manifest["dependencies"]?.array?.compactMap {
            $0.object?["fileSystem"]?.array?.first?.object?["path"]?.string
        }
        #expect(beside == [Self.root.standardizedFileURL.path])
        #expect(manifest["targets"]?.array?.map { $0.object?["name"]?.string } == ["Orders"])
    }

    @Test func `Its own manifest names the products, at the versions that this package was tested with`() throws {
        let manifest = try String(
            contentsOf: Self.root.appending(path: "Examples/swift/Package.swift"), encoding: .utf8)
        let package = try String(contentsOf: Self.root.appending(path: "Package.swift"), encoding: .utf8)
        for product in ["LatchkeyVerifier", "LatchkeyHummingbird"] {
            #expect(manifest.contains(".product(name: \"\(product)\", package: \"latchkey\")"))
            #expect(package.contains(".library(name: \"\(product)\""))
        }
        let line = try #require(
            manifest.firstMatch(of: /\.package\(url: "https:\/\/[^"]*hummingbird", exact: "[^"]*"\)/))
        #expect(package.contains(line.0))
        #expect(manifest.contains("path: \"../..\""))
        // The same source is built here and there.
        #expect(package.contains("path: \"Examples/swift/Sources/Orders\""))
    }
}
