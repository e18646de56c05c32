import Foundation
import Glibc
import LatchkeyTesting
import NIOHTTP1
import Testing

/// What is asked on a port of loopback, with a token.
protocol Asked {
    var port: Int { get }
}

extension Asked {
    func send(
        _ path: String, _ token: String? = nil, method: HTTPMethod = .GET, headers: [(String, String)] = [],
        body: [UInt8]? = nil
    ) async throws -> TestNode.Answer {
        try await TestNode.send(
            method, "http://127.0.0.1:\(port)\(path)",
            headers: (token.map { [("Authorization", "Bearer \($0)")] } ?? []) + headers, body: body)
    }
}

/// A `latchkey guard`.
struct GuardProcess: Asked, Sendable {
    let process: ChildProcess
    let port: Int
    let managementPort: Int

    /// Runs `body` with a guard of the issuer's tokens that judges already.
    static func run(
        of issuer: Site, _ options: [String] = [], environment: [String: String] = [:],
        _ body: (GuardProcess) async throws -> Void
    ) async throws {
        let managementPort = FreePort.next()
        let process = try await LatchkeyBinary.start(
            [
                "guard", "--issuer", issuer.issuer, "--audience", issuer.issuer, "--port", "0",
                "--management-port", "\(managementPort)",
            ] + options, environment: environment)
        let result: Result<Void, any Error>
        do {
            let address = try await process.line(after: "ready: http://127.0.0.1:")
            let port = try #require(Int(address))
            result = .success(
                try await body(GuardProcess(process: process, port: port, managementPort: managementPort)))
        } catch {
            result = .failure(error)
        }
        process.send(SIGCONT)
        process.send(SIGKILL)
        try await process.end()
        try result.get()
    }

    func manage(_ path: String) async throws -> TestNode.Answer {
        try await TestNode.send(.GET, "http://127.0.0.1:\(managementPort)\(path)")
    }

    /// A sample of `/metrics`; 0 where it is not there.
    func metric(_ series: String) async throws -> Double {
        let page = String(decoding: try await manage("/metrics").body, as: UTF8.self)
        return page.split(separator: "\n").first { $0.hasPrefix(series + " ") }
            .flatMap { Double($0.dropFirst(series.count + 1)) } ?? 0
    }
}

extension EchoService.Seen {
    /// The identity is that of a clerk's token, and nothing of the caller's own.
    func expectClerk(_ user: Site.Answer, of site: Site) async throws {
        let me = try await site.get("/account", bearer: user["access_token"])
        #expect(self["X-Auth-Subject"] == [me["id"]])
        #expect(self["X-Auth-Client"] == ["first-party"])
        #expect(self["X-Auth-Scope"] == ["account orders:read"])
        #expect(self["X-Auth-Roles"] == ["clerk"])
        #expect(self["X-Auth-Session"] == [user["session_id"]])
        #expect(self["Authorization"] == [], "the service needs no token")
    }
}

/// Debian's nginx with the configuration of docs/packaging, between a guard and a service.
struct Nginx: Asked, Sendable {
    let port: Int

    static let program = "/usr/sbin/nginx"

    /// Runs `body` with an nginx of this user's own: one process, all its files in a folder of the test's.
    static func run(
        guardPort: Int, servicePort: Int, _ body: (Nginx, ChildProcess) async throws -> Void
    ) async throws {
        let folder = "/tmp/latchkey-nginx-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let port = FreePort.next()
        var site = try Packaging.text("nginx-guard.conf")
        for (given, ours) in [
            ("127.0.0.1:8070;", "127.0.0.1:\(guardPort);"), ("127.0.0.1:3000;", "127.0.0.1:\(servicePort);"),
            ("listen 127.0.0.1:8000;", "listen 127.0.0.1:\(port);"),
            ("/etc/nginx/guard-identity.conf", "\(folder)/identity.conf"),
        ] {
            #expect(site.contains(given), "\(given)")
            site = site.replacing(given, with: ours)
        }
        let whole = """
            daemon off;
            master_process off;
            pid \(folder)/nginx.pid;
            events {}
            http {
                access_log off;
                client_body_temp_path \(folder)/body;
                proxy_temp_path \(folder)/proxy;
                fastcgi_temp_path \(folder)/fastcgi;
                uwsgi_temp_path \(folder)/uwsgi;
                scgi_temp_path \(folder)/scgi;
                include \(folder)/site.conf;
            }
            """
        try site.write(toFile: "\(folder)/site.conf", atomically: true, encoding: .utf8)
        try Packaging.text("nginx-guard-identity.conf").write(
            toFile: "\(folder)/identity.conf", atomically: true, encoding: .utf8)
        try whole.write(toFile: "\(folder)/nginx.conf", atomically: true, encoding: .utf8)
        let process = try await ChildProcess.start([
            program, "-p", folder, "-c", "\(folder)/nginx.conf", "-e", "\(folder)/error.log",
        ])
        let result: Result<Void, any Error>
        do {
            let nginx = Nginx(port: port)
            let isUp = await becomesTrue { (try? await nginx.send("/").status) != nil }
            let log = FileManager.default.contents(atPath: "\(folder)/error.log") ?? Data()
            try #require(isUp, "\(process.transcript.errors) \(String(decoding: log, as: UTF8.self))")
            result = .success(try await body(nginx, process))
        } catch {
            result = .failure(error)
        }
        process.send(SIGKILL)
        try await process.end()
        try result.get()
    }
}
