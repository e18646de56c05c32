import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("The pepper of passwords") struct PepperTests {
    private func phc(_ it: TestInstallation, _ name: String) async throws -> PHCString {
        let text: String = try await it.database.query("SELECT phc FROM users WHERE username = \(name)").one()
            .decode("phc")
        return try PHCString(parsing: text)
    }

    @Test func `is off unless switched on`() async throws {
        try await TestInstallation.run { it in
            _ = try await it.node.newUser("alice")
            #expect(try await phc(it, "alice").pepperVersion == nil)
        }
    }

    @Test func `makes a hash that nobody can guess at without the master key`() async throws {
        try await TestInstallation.run(settings: { $0.passwordPepper = .masterKey }) { it in
            #expect(try await it.node.newUser("alice").status == 200)
            #expect(try await it.node.logIn("alice", "wrong horse").status == 401)
            let phc = try await phc(it, "alice")
            #expect(phc.pepperVersion == 1)
            #expect(phc.text.contains(",keyid=AAE$"))
            func hash(_ secret: [UInt8]) throws -> [UInt8] {
                try Argon2id.hash(
                    password: Password(checking: "correct horse").bytes, salt: phc.salt, secret: secret,
                    associatedData: [], parameters: phc.parameters, tagLength: phc.tag.count)
            }
            #expect(try hash([]) != phc.tag)
            let pepper = try #require(it.node.installation.masterKeys.passwordPepper(version: 1))
            #expect(try hash(pepper.withBytes { Array($0) }) == phc.tag)
        }
    }

    @Test func `follows the master key at the next login, and holds up its retirement until then`() async throws {
        try await TestInstallation.run(settings: { $0.passwordPepper = .masterKey }) { it in
            let scene = MasterKeyScene(it: it)
            for name in ["alice", "bob"] { #expect(try await it.node.newUser(name).status == 200) }
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            #expect(try await scene.refusal(of: 1, .yes)?.contains("2 password hashes") == true)
            #expect(try await it.node.logIn("alice").status == 200)
            #expect(try await becomesTrue { try await phc(it, "alice").pepperVersion == 2 })
            #expect(try await scene.refusal(of: 1, .yes)?.contains("1 password hash") == true)
            #expect(try await it.node.logIn("bob").status == 200)
            #expect(try await becomesTrue { try await phc(it, "bob").pepperVersion == 2 })
            #expect(try await scene.refusal(of: 1) == nil)
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [2] })
            for name in ["alice", "bob"] { #expect(try await it.node.logIn(name).status == 200) }
        }
    }

    @Test func `leaves with the setting, hash by hash`() async throws {
        try await TestInstallation.run(settings: { $0.passwordPepper = .masterKey }) { it in
            _ = try await it.node.newUser("alice")
            var settings = it.settings
            settings.passwordPepper = .none
            let node = try await TestNode.start(
                Installation(settings, masterKeys: it.node.installation.masterKeys, logger: MasterKeyScene.quiet))
            let status = try await node.logIn("alice").status
            let isPlain = try await becomesTrue { try await phc(it, "alice").pepperVersion == nil }
            await node.stop()
            #expect(status == 200)
            #expect(isPlain)
            #expect(try await it.node.logIn("alice").status == 200)
        }
    }

    @Test(.eachAnswerCounts) func `that a node does not hold is 503, not a wrong password`() async throws {
        let hasher = PasswordHasher(
            .init(
                parameters: try Argon2Parameters(memoryKiB: 64, iterations: 1, parallelism: 1),
                pepper: PasswordPepper(current: { 2 }, key: { _ in nil })))
        defer { hasher.shutdown() }
        let password = try Password(checking: "correct horse")
        let stored = try PHCString(
            parameters: hasher.parameters, salt: .init(repeating: 1, count: 16), tag: .init(repeating: 2, count: 32),
            pepperVersion: 1)
        await #expect(throws: HashingRejection.pepperMissing) { try await hasher.verify(password, against: stored) }
        await #expect(throws: HashingRejection.pepperMissing) { try await hasher.hash(password) }
        #expect(Rejection(HashingRejection.pepperMissing) == .unavailable(retryAfter: 1))
    }

    @Test func `of another system is not imported`() {
        let json =
            #"{"username":"eve","phc":"$argon2id$v=19$m=64,t=1,p=1,keyid=AAE$\#(PHCStringTests.salt)$\#(PHCStringTests.tag)"}"#
        #expect(throws: Rejection.invalidField("phc", reason: "It must be a hash without a keyid.")) {
            try ImportedUser(Array(json.utf8))
        }
    }
}

extension PHCStringTests {
    @Test(arguments: [("AAE", 1), ("AAI", 2), ("f/8", 32767)] as [(String, Int16)])
    func `names the version of its pepper and prints it again`(keyID: String, version: Int16) throws {
        let text = "$argon2id$v=19$m=19456,t=2,p=1,keyid=\(keyID)$\(Self.salt)$\(Self.tag)"
        let phc = try PHCString(parsing: text)
        #expect(phc.pepperVersion == version)
        #expect(phc.text == text)
        #expect(phc.needsUpgrade(to: .standard, pepper: version) == false)
        for other in [nil, version == 1 ? 2 : 1] as [Int16?] { #expect(phc.needsUpgrade(to: .standard, pepper: other)) }
    }

    @Test(arguments: [
        "keyid=", "keyid=AAA", "keyid=gAE", "keyid=AAF", "keyid=AA", "keyid=AAEA", "keyid=AAE=", "KEYID=AAE",
        "data=AAE",
        "keyid=AAE,keyid=AAE", "keyid= AAE", "keyid=1",
    ])
    func `is refused with any other word in the place of its pepper`(word: String) {
        #expect(throws: PHCStringError.malformed) {
            try PHCString(parsing: "$argon2id$v=19$m=19456,t=2,p=1,\(word)$\(Self.salt)$\(Self.tag)")
        }
    }
}
