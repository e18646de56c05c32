import Foundation
import JOSE
import LibCrypto
import Testing

/// Algorithms beside RS256, and keys that came from elsewhere, on a running `latchkey dev` of its own: one whose keys
/// ripen in seconds.
@Suite(
    .serialized,
    .sharedDev(["LATCHKEY_KEY_PUBLISH_LEAD": "4", "LATCHKEY_JWKS_MAX_AGE": "1", "LATCHKEY_CLOCK_LEEWAY": "1"]))
struct AlgorithmTests {
    private static let clients = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/clients"

    private static func pem(_ key: PrivateKey) throws -> String {
        let der = try key.pkcs8().withBytes { Data($0) }
        let body = der.base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        return "-----BEGIN PRIVATE KEY-----\n\(body)\n-----END PRIVATE KEY-----\n"
    }

    /// EC on P-256, made for this test; the passphrase is `open sesame`.
    private static let encrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg1dJCoRfs1xgICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOvhz8T9xS97lh7l5Im1r70EgZDC
        eiytlXso6409zKuuQOA/1XlhwPFYqY2GRWYiwyifi+f5xpmat6h1hhe02AU1NRLn
        A447LkTGyqDcecxzZsj1yjBlENe8jdGyVqM763YoME3pIxXMQgTLo4B0XgR0Kg1Z
        Mnjf5XiB8fHa5+lG2GEGq27wNsUK9XDXbMjOr8a0Lro2TFDe9QhwYz8xIi9GGuw=
        -----END ENCRYPTED PRIVATE KEY-----

        """

    /// EC on P-384.
    private static let p384 = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAbAGPvA8Aqs0FKwHnc
        63y1IeL7PfgqYjWQF0/hCsa1FKI72Lym725B2vgUeTEbpoehZANiAASWEuwJtQy8
        yYc8LqkIRgWf8dVW+79G341LrxN95wEMXJIJLUTwW45sC8/LWE++Gki15GK5isPq
        RRzqVVrlYmUvKhb79VNPqJFR9bT2mPQlsETv3jZdcDDClHmasj1Smvk=
        -----END PRIVATE KEY-----

        """

    private func imported(
        _ dev: Dev, _ arguments: [String], input: String = "", environment: [String: String] = [:]
    ) async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(
            ["keys", "import", "--data", dev.folder.path] + arguments, environment: environment, input: input)
    }

    private func kids(_ dev: Dev) async throws -> [String] {
        let rows = try await dev.json("keys", "list")?.array ?? []
        return rows.compactMap { $0.object?["kid"]?.string }
    }

    private func file(_ dev: Dev, _ name: String, _ text: String, mode: Int = 0o600) throws -> String {
        let path = "\(dev.folder.home)/\(name)"
        try #require(
            FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: mode]))
        return path
    }

    @Test func `An existing key is imported from a file or from standard input, once`() async throws {
        let dev = try SharedDev.dev
        let key = try PrivateKey.generate(.rs256)
        let kid = JSONWebKey(key.publicKey).keyID
        let path = try file(dev, "key.pem", try Self.pem(key))
        let first = try await imported(dev, [path, "--json"])
        #expect(first.exit == .code(0), "\(first.errors)")
        #expect(first.errors == "")
        let told = try JSONValue.parse(Array(first.output.utf8)).object
        #expect(told?["kid"]?.string == kid)
        #expect(told?["alg"]?.string == "RS256")
        #expect(told?["state"]?.string == "published")
        #expect(try await kids(dev).filter { $0 == kid }.count == 1)
        let record = try await dev.json("audit", "--target", "key:\(kid)")?.array?.last?.object
        #expect(record?["action"]?.string == "key.imported")
        #expect(record?["actor"]?.string?.hasPrefix("cli:") == true)

        let again = try await imported(dev, ["-"], input: try Self.pem(key))
        #expect(again.exit == .code(0))
        #expect(again.errors.contains("there already"))
        #expect(try await imported(dev, [path, "--alg", "PS256"]).refused(kid, "RS256"))
        // Nothing of the private half is printed.
        let text = try Self.pem(key).split(whereSeparator: \.isNewline)[3]
        for transcript in [first, again] { #expect(!(transcript.output + transcript.errors).contains(text)) }

        let open = try file(dev, "open.pem", try Self.pem(PrivateKey.generate(.rs256)), mode: 0o644)
        let warned = try await imported(dev, [open])
        #expect(warned.exit == .code(0))
        #expect(warned.errors.contains("warning: others than you may read \(open)"))
    }

    @Test func `An encrypted key opens with a passphrase from a file, from standard input or the environment`()
        async throws
    {
        let dev = try SharedDev.dev
        let path = try file(dev, "encrypted.pem", Self.encrypted)
        #expect(try await imported(dev, [path]).refused("encrypted", "--passphrase-file"))
        let variable = ["LATCHKEY_IMPORT_PASSPHRASE": "open sesame"]
        // No client asks for it yet.
        #expect(try await imported(dev, [path], environment: variable).refused("nothing signs by ES256"))
        let client = try await dev.command("clients", "create", "quick", "--signing-alg", "ES256")
        #expect(client.output.contains("access_token_signed_response_alg: ES256\n"))

        let wrong = ["LATCHKEY_IMPORT_PASSPHRASE": "open sesamE"]
        #expect(try await imported(dev, [path], environment: wrong).refused("does not open"))
        let first = try await imported(dev, [path], environment: variable)
        #expect(first.exit == .code(0), "\(first.errors)")
        let passphrase = try file(dev, "passphrase", "open sesame\n")
        for (arguments, input) in [
            (["--passphrase-file", passphrase], ""), (["--passphrase-file", "-"], "open sesame"),
        ] {
            let again = try await imported(dev, [path] + arguments, input: input)
            #expect(again.exit == .code(0), "\(again.errors)")
            #expect(again.errors.contains("there already"))
        }
    }

    @Test func `What is no good key is refused in one line with the reason`() async throws {
        let dev = try SharedDev.dev
        let before = try await kids(dev)
        let ec = try Self.pem(PrivateKey.generate(.es256))
        let rsa = try Self.pem(PrivateKey.generate(.rs256))
        for (text, options, reason) in [
            (Self.p384, [], "P-256"), ("nothing", [], "no private key"), (ec + rsa, [], "more than one"),
            (ec, ["--alg", "RS256"], "RS256"), (rsa, ["--alg", "EdDSA"], "EdDSA"),
            (String(rsa.dropLast(200)), [], "no private key"),
        ] as [(String, [String], String)] {
            let path = try file(dev, "bad.pem", text)
            #expect(try await imported(dev, [path] + options).refused("\(path) is not taken", reason), "\(reason)")
        }
        #expect(try await imported(dev, ["/nowhere.pem"]).refused("/nowhere.pem"))
        #expect(try await imported(dev, ["-", "--alg", "HS256"], input: rsa).exit == .code(2))
        #expect(try await imported(dev, ["-", "--passphrase-file", "-"], input: rsa).exit == .code(2))
        #expect(try await imported(dev, []).exit == .code(2))
        #expect(try await Set(before).isSubset(of: kids(dev)))
    }

    @Test func `A stranger's libraries verify tokens of every algorithm from one JWKS`() async throws {
        let python = try await StrangersPython.interpreter()
        let dev = try SharedDev.dev
        _ = try await dev.site.newUser("alice")
        let given: JSONValue = [
            "issuer": .string(dev.site.issuer), "username": "alice", "password": "correct horse",
            "admin_password": .string(dev.folder.adminPassword),
        ]
        for client in ["pyjwt_client", "authlib_client"] {
            let process = try await ChildProcess.start(
                [python, "-B", "\(Self.clients)/\(client).py", "algorithms"],
                input: String(decoding: given.encoded(), as: UTF8.self))
            let transcript = try await process.end(within: 90)
            #expect(transcript.exit == .code(0), "\(client): \(transcript.errors)")
            #expect(transcript.output == "ok algorithms\n")
        }
    }
}
