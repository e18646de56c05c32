import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOHTTP1
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// Secrets that are looked for wherever they must not be.
private final class Canaries: Sendable {
    private let secrets = Mutex<[(name: String, bytes: [UInt8])]>([])
    private let log = Mutex<[UInt8]>([])

    var logger: Logger {
        Logger(label: "canary") { label in
            JSONLogHandler(label: label, logLevel: .trace) { line in self.log.withLock { $0 += line } }
        }
    }

    var logged: [UInt8] { log.withLock { $0 } }

    func add(_ name: String, _ secret: some Sequence<UInt8>) {
        secrets.withLock { $0.append((name, Array(secret))) }
    }

    func add(_ name: String, _ tokens: TestNode.Answer) {
        add("access token of \(name)", tokens.access.utf8)
        if let signature = tokens.access.split(separator: ".").last { add("signature of \(name)", signature.utf8) }
        if !tokens["device_token"].isEmpty {
            add("device token of \(name)", tokens["device_token"].utf8)
            // Who reads the table of devices must not be able to make one's token.
            add(
                "MAC of the device token of \(name)",
                Base64URL.decode(tokens["device_token"].utf8.dropFirst(5))?.suffix(16) ?? [])
        }
        if !tokens.refresh.isEmpty {
            add("refresh token of \(name)", tokens.refresh.utf8)
            add("bytes of the refresh token of \(name)", Base64URL.decode(tokens.refresh.utf8.dropFirst(5)) ?? [])
        }
    }

    /// A secret as it is, in hexadecimal of either case, and in base64 of either alphabet at each of the three alignments
    /// that it can have inside something longer.
    private static func spellings(_ secret: [UInt8]) -> [[UInt8]] {
        let hex = secret.flatMap { byte in Array((byte < 16 ? "0" : "").utf8) + Array(String(byte, radix: 16).utf8) }
        var spellings = [secret, hex, hex.map { (0x61...0x66).contains($0) ? $0 - 32 : $0 }]
        for shift in 0..<3 {
            // The first and the last symbols share bits with what stands around.
            let text = Array(
                Base64URL.encodedBytes([UInt8](repeating: 0, count: shift) + secret).dropFirst(
                    shift == 0 ? 0 : shift + 1
                ).dropLast(2))
            spellings.append(text)
            spellings.append(
                text.map {
                    $0 == UInt8(ascii: "-") ? UInt8(ascii: "+") : $0 == UInt8(ascii: "_") ? UInt8(ascii: "/") : $0
                })
        }
        return spellings
    }

    /// The names of those that stand in `haystack`.
    func found(in haystack: [UInt8]) -> [String] {
        let haystack = Data(haystack)
        return secrets.withLock { $0 }.filter { _, secret in
            Self.spellings(secret).contains { haystack.range(of: Data($0)) != nil }
        }.map(\.name)
    }

    var count: Int { secrets.withLock { $0.count } }
}

@Suite("Secrets")
struct CanaryTests {
    @Test("stand neither in the log at its most talkative level nor in a dump of the database")
    func journey() async throws {
        let canaries = Canaries()
        try await TestInstallation.run(nodes: 2, logger: canaries.logger) { it in
            try await everyEndpoint(it, canaries)
            try await clients(it, canaries)
            try await keys(it, canaries)
            #expect(canaries.count > 30)

            let log = canaries.logged
            // The log is there, and so is what may stand in it.
            try #require(log.count > 20_000)
            #expect(Data(log).range(of: Data("/oauth2/token".utf8)) != nil)
            #expect(canaries.found(in: log) == [])

            let dump = Array(try await Dump.text(it.connectionString, .everything).utf8)
            try #require(Data(dump).range(of: Data("canary-user".utf8)) != nil)
            #expect(canaries.found(in: dump) == [])
        }
    }

    @Test("are found where they stand, in each spelling")
    func search() {
        let canaries = Canaries()
        let secret = "correct horse battery staple"
        canaries.add("password", secret.utf8)
        let bytes = Array(secret.utf8)
        for shift in 0..<3 {
            let around = [UInt8](repeating: 7, count: shift) + bytes + [1, 2, 3]
            #expect(canaries.found(in: Array(Data(around).base64EncodedString().utf8)) == ["password"], "\(shift)")
            #expect(canaries.found(in: Base64URL.encodedBytes(around)) == ["password"])
            #expect(canaries.found(in: around) == ["password"])
        }
        #expect(canaries.found(in: bytes.flatMap { Array(String($0, radix: 16).utf8) }) == ["password"])
        #expect(canaries.found(in: Array("correct horse battery".utf8)) == [])
    }

    private func everyEndpoint(_ it: TestInstallation, _ canaries: Canaries) async throws {
        func password(_ name: String) -> String {
            let text = "\(name)-\(String(UInt64.random(in: .min ... .max), radix: 36))-password"
            canaries.add("password \(name)", text.utf8)
            return text
        }
        let (first, second, third, wrong) = (
            password("first"), password("second"), password("third"), password("wrong")
        )
        let administrator = try await it.node.administrator()
        canaries.add("access token of the administrator", administrator.utf8)

        let node = it.node
        _ = try await node.post("/auth/register", ["username": "canary-user", "password": .string(first)])
        // Refused in each of the ways that might quote what was sent.
        _ = try await node.post("/auth/register", ["username": "canary-user", "password": .string(wrong)])
        _ = try await node.post("/auth/register", ["username": .string(wrong + " "), "password": .string(wrong)])
        _ = try await node.logIn("canary-user", wrong)
        _ = try await node.logIn("nobody", wrong)
        // A password where the name belongs, until the limit is reached and logged.
        for _ in 0..<11 { _ = try await node.logIn(wrong, wrong) }
        for body in ["{\"password\":\"\(wrong)\",}", "\"\(wrong)\"", "{\"username\":\"\(wrong)", wrong] {
            _ = try await node.send(
                .POST, "/auth/login", headers: [("content-type", "application/json")], body: Array(body.utf8))
        }
        _ = try await node.post("/auth/api", ["username": "canary-user", "password": .array([.string(wrong)])])

        let born = try await node.logIn("canary-user", first)
        canaries.add("born", born)
        let other = try await it.nodes[1].logIn("canary-user", first, device: born["device_token"])
        canaries.add("other", other)
        let next = try await node.refresh(born.refresh)
        canaries.add("next", next)
        let again = try await it.nodes[1].refresh(born.refresh)
        canaries.add("again", again)
        for token in [next.refresh + "x", next.access, "lkr1." + wrong] {
            _ = try await node.refresh(token)
            _ = try await node.revoke(token + "y")
            _ = try await node.get("/account", bearer: token + "z")
            _ = try await node.form("/oauth2/introspect", [("token", token)], bearer: administrator)
        }
        // A secret where it does not belong: in a query, a path, a header.
        _ = try await node.get("/account?access_token=\(next.access)")
        _ = try await node.get("/oauth2/token/\(next.refresh)")
        _ = try await node.send(.GET, "/account", headers: [("authorization", "Basic \(next.refresh)")])
        _ = try await node.send(.GET, "/livez", headers: [("x-request-id", next.refresh + next.refresh)])
        _ = try await node.form("/oauth2/token", [("grant_type", "password"), ("client_secret", wrong)])

        for path in ["/account", "/account/sessions"] { _ = try await node.get(path, bearer: next.access) }
        _ = try await node.post(
            "/account/password", ["current": .string(wrong), "new": .string(second)], bearer: next.access)
        _ = try await node.post(
            "/account/password", ["current": .string(first), "new": .string(second)], bearer: next.access)
        _ = try await node.delete("/account/sessions/\(next.sid.text)", bearer: next.access)

        for path in ["users", "users/canary-user", "users/canary-user/sessions", "roles", "keys", "audit"] {
            #expect(try await node.get("/admin/\(path)", bearer: administrator).status == 200, "\(path)")
        }
        _ = try await node.post(
            "/admin/users", ["username": "made", "password": .string(third)], bearer: administrator)
        _ = try await node.post("/admin/users/made/password", ["new": .string(second)], bearer: administrator)
        _ = try await node.post("/admin/roles", ["name": "reader", "scopes": ["x"]], bearer: administrator)
        _ = try await node.put("/admin/users/made/roles/reader", bearer: administrator)
        _ = try await node.put("/admin/roles/reader", ["scopes": ["y"]], bearer: administrator)
        _ = try await node.delete("/admin/users/made/roles/reader", bearer: administrator)
        _ = try await node.delete("/admin/roles/reader", bearer: administrator)
        let last = try await node.logIn("canary-user", second)
        canaries.add("last", last)
        for target: JSONValue in [
            ["token": .string(last.access), "reason": "x"], ["token": .string(last.refresh), "reason": "x"],
            ["session": .string(wrong), "reason": "x"], ["user": .string(wrong), "reason": "x"],
        ] {
            _ = try await node.post("/admin/revocations", target, bearer: administrator)
        }
        _ = try await node.post("/admin/keys/rotate", bearer: administrator)
        _ = try await node.post("/admin/users/made/disable", bearer: administrator)
        _ = try await node.post("/admin/users/made/enable", bearer: administrator)
        _ = try await node.delete("/admin/sessions/\(last.sid.text)", bearer: administrator)
        for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/readyz", "/nowhere"] {
            _ = try await node.get(path)
        }
        // A stolen token comes back: the session ends with a warning in the log.
        let thief = try await node.logIn("canary-user", second)
        let stolen = try await node.refresh(thief.refresh)
        let used = try await node.refresh(stolen.refresh)
        for (name, tokens) in [("thief", thief), ("stolen", stolen), ("used", used)] { canaries.add(name, tokens) }
        #expect(try await node.refresh(thief.refresh).status == 400)
        _ = try await node.post("/auth/logout", bearer: administrator)
    }

    /// Clients' secrets, where they belong and where they do not.
    private func clients(_ it: TestInstallation, _ canaries: Canaries) async throws {
        let node = it.node
        let administrator = try await node.logIn("root").access
        for method in ["client_secret_basic", "client_secret_post"] {
            let first = try await node.newClient(administrator, scope: "introspect", method: method)
            let path = "/admin/clients/\(first.id)"
            let second = try RegisteredClient(try await node.post("\(path)/secret", bearer: administrator))
            for (name, client) in [("first", first), ("second", second)] {
                canaries.add("\(name) secret by \(method)", client.secret.utf8)
                canaries.add("bytes of it", Base64URL.decode(client.secret.utf8.dropFirst(5)) ?? [])
                canaries.add("header of \(name)", client.basic.1.utf8.dropFirst(6))
                let token = try await client.token(node)
                #expect(token.status == 200)
                canaries.add("token of \(name)", token)
                for path in ["introspect", "revoke", "token"] {
                    _ = try await client.post(node, "/oauth2/\(path)", [("token", token.access)])
                    _ = try await client.with(secret: client.secret + "x").post(
                        node, "/oauth2/\(path)", [("token", token.access), ("scope", client.secret)])
                }
                _ = try await node.form(
                    "/oauth2/token", [("grant_type", client.secret), ("client_id", client.secret)])
                _ = try await node.send(form: [], to: "/oauth2/token?\(client.secret)", headers: [client.basic])
                _ = try await node.send(.GET, "/account", headers: [client.basic])
            }
            for path in ["/admin/clients", path] { _ = try await node.get(path, bearer: administrator) }
            _ = try await node.patch(path, ["scope": "x"], bearer: administrator)
            _ = try await node.post("\(path)/disable", bearer: administrator)
        }
        let masterKeys = node.installation.masterKeys
        let key = try #require(masterKeys.clientSecretKey(version: 1))
        #expect(key !== masterKeys.refreshTokenKey(version: 1))
    }

    /// The master key, what is derived from it, and the private halves of every signing key.
    private func keys(_ it: TestInstallation, _ canaries: Canaries) async throws {
        let file = try String(contentsOfFile: "\(it.settings.keysDirectory)/master-key-1", encoding: .utf8)
        let master = try #require(Base64URL.decode(file.utf8.dropLast()))
        canaries.add("master key", master)
        let masterKeys = it.node.installation.masterKeys
        canaries.add("sealing key", try masterKeys.sealingKey(version: 1).withBytes { Array($0) })
        let (keys, _) = try await it.node.installation.signingKeys.all()
        try #require(keys.count == 4)
        for key in keys {
            let der = try key.open(with: masterKeys).pkcs8().withBytes { Array($0) }
            canaries.add("private half of \(key.kid)", der)
            // Beyond the header and the public modulus, which everybody knows: the private exponent and the primes.
            canaries.add("second half of the private half of \(key.kid)", der[(der.count / 2)...])
            // A line of PEM holds 48 bytes: of these pieces one stands whole in a line.
            for start in 0..<4 {
                let from = der.count / 2 + start * 20
                canaries.add("piece \(start) of the private half of \(key.kid)", der[from..<(from + 20)])
            }
        }
    }
}
