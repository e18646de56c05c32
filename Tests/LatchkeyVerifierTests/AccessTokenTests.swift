import JOSE
import LatchkeyVerifier
import LibCrypto
import Testing

@Suite struct AccessTokens {
    @Test func `an accepted token tells what its claims say`() throws {
        let forge = try TokenForge()
        let token = try forge.verify(forge.token())
        #expect(token.subject == "u1" && token.clientID == "web" && token.keyID == forge.keyID)
        #expect(token.tokenID == TokenForge.tokenID && token.sessionID == TokenForge.sessionID)
        #expect(token.tokenUniqueID.text == TokenForge.tokenID)
        #expect(token.sessionUniqueID?.text == TokenForge.sessionID)
        #expect(token.audience == [TokenForge.audience])
        #expect(token.scopes == ["account", "users:read"] && token.roles == ["admin"])
        #expect(token.issuedAt == TokenForge.now && token.expiresAt == TokenForge.now + 600)
        #expect(token.authenticatedAt == TokenForge.now - 5)
        #expect(token.has(scope: "users:read") && token.has(role: "admin"))
        #expect(!token.has(scope: "users") && !token.has(scope: "") && !token.has(role: "Admin"))
    }

    @Test func `a role that only looks alike is not carried`() throws {
        let forge = try TokenForge()
        let token = try forge.verify(forge.token(claim: "roles", ["\u{212A}ing"]))
        #expect(!token.has(role: "King"))
        #expect(token.has(role: "\u{212A}ing"))
    }

    @Test func `a token as text is the same token`() throws {
        let forge = try TokenForge()
        let text = String(decoding: try forge.token(), as: UTF8.self)
        let verifier = TokenVerifier(issuer: TokenForge.issuer, audience: TokenForge.audience, leeway: 0)
        let token = try verifier.verify(text, keys: forge.keys, revocations: RevocationSet(), now: TokenForge.now)
        #expect(token.subject == "u1")
        #expect(throws: TokenRejection.malformed) {
            try verifier.verify(text + "\u{e9}", keys: forge.keys, revocations: RevocationSet(), now: TokenForge.now)
        }
    }

    @Test(
        "a token lives until its expiry and the leeway have passed",
        arguments: [
            (599, true), (600, true), (629, true), (630, false), (631, false), (100_000, false),
        ])
    func expiry(age: Int64, isAccepted: Bool) throws {
        let forge = try TokenForge()
        let token = try forge.token()
        if isAccepted {
            #expect(try forge.verify(token, now: TokenForge.now + age).subject == "u1")
        } else {
            #expect(throws: TokenRejection.expired) { try forge.verify(token, now: TokenForge.now + age) }
        }
        // Old tokens can still be read for revoking them.
        #expect(try forge.verify(token, now: TokenForge.now + age, checking: .authenticityOnly).subject == "u1")
    }

    @Test func `a token is revoked by its jti, its sid or its kid, and by nothing else`() throws {
        let forge = try TokenForge()
        let token = try forge.token()
        let tokenID = try #require(UniqueID(text: TokenForge.tokenID))
        let sessionID = try #require(UniqueID(text: TokenForge.sessionID))
        for id in [tokenID, sessionID] {
            var revocations = RevocationSet()
            revocations.insert(id, expiresAt: TokenForge.now + 900)
            #expect(throws: TokenRejection.revoked) { try forge.verify(token, revocations: revocations) }
            let read = try forge.verify(token, revocations: revocations, checking: .authenticityOnly)
            #expect(read.tokenUniqueID == tokenID)
        }
        var revocations = RevocationSet()
        revocations.insert(.version7(millisecondsSince1970: 1, random: SecureRandom.bytes(10)), expiresAt: .max)
        revocations.insert(keyID: forge.otherKeyID)
        #expect(try forge.verify(token, revocations: revocations).subject == "u1")
        revocations.insert(keyID: forge.keyID)
        #expect(throws: TokenRejection.revoked) { try forge.verify(token, revocations: revocations) }
        // What a leaked key signed is not ours, however old.
        #expect(throws: TokenRejection.revoked) {
            try forge.verify(token, revocations: revocations, checking: .authenticityOnly)
        }
        revocations.lift(keyID: forge.keyID)
        #expect(try forge.verify(token, revocations: revocations).subject == "u1")
    }

    @Test func `a revoked token of another audience learns nothing of the revocation`() throws {
        let forge = try TokenForge()
        var revocations = RevocationSet()
        revocations.insert(try #require(UniqueID(text: TokenForge.tokenID)), expiresAt: .max)
        #expect(throws: TokenRejection.wrongAudience) {
            try forge.verify(forge.token(claim: "aud", "https://other.example"), revocations: revocations)
        }
        #expect(throws: TokenRejection.expired) {
            try forge.verify(forge.token(), revocations: revocations, now: TokenForge.now + 10_000)
        }
    }

    @Test("a rejection says a stable code and a text, and no two say the same", arguments: TokenRejection.allCases)
    func rejections(rejection: TokenRejection) {
        #expect(rejection.rawValue.utf8.allSatisfy { 0x61...0x7a ~= $0 || $0 == 0x5f })
        #expect(TokenRejection.allCases.filter { $0.description == rejection.description }.count == 1)
    }
}
