import Foundation
import JOSE
import Testing

/// A DIR of a test's own under /tmp. `remove` takes away what `latchkey dev` made of it, the cluster that it put
/// elsewhere for root included.
struct DevFolder: Sendable {
    /// The folder that holds DIR.
    let home: String
    /// DIR, which does not exist yet.
    let path: String

    init(named name: String = "installation") throws {
        home = "/tmp/latchkey-cli-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        path = "\(home)/\(name)"
        try FileManager.default.createDirectory(
            atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    func read(_ file: String) -> String? {
        FileManager.default.contents(atPath: "\(path)/\(file)").map { String(decoding: $0, as: UTF8.self) }
    }

    /// The permissions of a file or folder in DIR; nil where there is none.
    func mode(_ file: String) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: "\(path)/\(file)"))?[.posixPermissions] as? Int
    }

    /// `dev.json`.
    var state: JSONObject { (try? JSONValue.parse(Array((read("dev.json") ?? "").utf8)))?.object ?? JSONObject() }

    /// The cluster's data directory; nil where `dev.json` names none.
    var cluster: String? { state["cluster"]?.string }

    var adminPassword: String { (read("admin-password") ?? "").trimmingCharacters(in: .newlines) }

    func remove() {
        if let cluster, cluster.hasPrefix("/var/lib/latchkey/") {
            try? FileManager.default.removeItem(atPath: (cluster as NSString).deletingLastPathComponent)
        }
        try? FileManager.default.removeItem(atPath: home)
    }
}

/// A `latchkey dev` that accepts requests.
struct Dev: Sendable {
    let folder: DevFolder
    let process: ChildProcess
    let site: Site
    /// From the start of the process to its `ready:` line.
    let startedIn: Duration

    static func start(
        in folder: DevFolder, port: Int = FreePort.next(), prefix: [String] = [], environment: [String: String] = [:]
    ) async throws -> Dev {
        let start = ContinuousClock.now
        let process = try await LatchkeyBinary.start(
            ["dev", "--data", folder.path, "--port", "\(port)"], prefix: prefix, environment: environment)
        do {
            #expect(try await process.line(after: "ready: ") == "http://127.0.0.1:\(port)")
        } catch {
            await Self.end(process, folder)
            throw error
        }
        return Dev(
            folder: folder, process: process, site: Site(port: port), startedIn: ContinuousClock.now - start)
    }

    /// Runs `body` with the DIR of its own, and leaves neither process nor file behind.
    static func withFolder(
        named name: String = "installation", _ body: (DevFolder) async throws -> Void
    ) async throws {
        let folder = try DevFolder(named: name)
        defer { folder.remove() }
        try await body(folder)
    }

    /// Runs `body` with a fresh installation that serves.
    static func run(
        in folder: DevFolder, port: Int = FreePort.next(), prefix: [String] = [], environment: [String: String] = [:],
        _ body: (Dev) async throws -> Void
    ) async throws {
        let dev = try await start(in: folder, port: port, prefix: prefix, environment: environment)
        let result: Result<Void, any Error>
        do { result = .success(try await body(dev)) } catch { result = .failure(error) }
        await end(dev.process, folder)
        try result.get()
    }

    /// Kills it where it still runs, and waits for its PostgreSQL's end.
    private static func end(_ process: ChildProcess, _ folder: DevFolder) async {
        process.send(SIGKILL)
        _ = try? await process.end()
        guard let cluster = folder.cluster else { return }
        _ = await ProcessTable.untilGone(using: cluster, within: .seconds(30))
    }

    /// A command on this installation, run to its end.
    func command(_ arguments: String..., input: String = "") async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(arguments + ["--data", folder.path], input: input)
    }

    /// What a command prints with `--json`; nothing where it fails.
    func json(_ arguments: String...) async throws -> JSONValue? {
        let transcript = try await LatchkeyBinary.run(arguments + ["--json", "--data", folder.path])
        #expect(transcript.exit == .code(0), "\(arguments): \(transcript.errors)")
        return try? JSONValue.parse(Array(transcript.output.utf8))
    }

    /// The administrator's access token.
    func administrator() async throws -> String {
        let answer = try await site.logIn("admin", folder.adminPassword)
        try #require(answer.status == 200)
        return answer["access_token"]
    }
}

/// A suite whose tests share one `latchkey dev`, which ends with the last of them.
struct SharedDev: SuiteTrait, TestScoping {
    @TaskLocal private static var current: Dev?

    var environment: [String: String] = [:]

    static var dev: Dev {
        get throws { try #require(current) }
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder, environment: environment) { dev in
                try await Self.$current.withValue(dev) { try await function() }
            }
        }
    }
}

extension Trait where Self == SharedDev {
    static var sharedDev: SharedDev { SharedDev() }

    /// With settings of its own.
    static func sharedDev(_ environment: [String: String]) -> SharedDev { SharedDev(environment: environment) }
}
