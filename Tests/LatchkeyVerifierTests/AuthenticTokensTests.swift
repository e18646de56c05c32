import JOSE
import LatchkeyVerifier
import LibCrypto
import Testing

/// What was verified once is remembered; what can change is asked each time.
@Suite struct AuthenticTokensTests {
    private let forge: TokenForge
    private let seen = AuthenticTokens(capacity: 2)

    init() throws {
        forge = try TokenForge()
    }

    private func verdict(
        _ token: [UInt8], keys: VerificationKeys? = nil, revocations: RevocationSet = RevocationSet(),
        now: Int64 = TokenForge.now
    ) throws(TokenRejection) -> AccessToken {
        let verifier = TokenVerifier(issuer: TokenForge.issuer, audience: TokenForge.audience, leeway: 0)
        let text = String(decoding: token, as: UTF8.self)
        return try verifier.verify(
            try seen.authenticate(text, keys: keys ?? forge.keys), revocations: revocations, now: now)
    }

    @Test func `a token that is known is still refused once it is revoked, has expired or its key is gone`() throws {
        let token = try forge.token()
        let accepted = try verdict(token)

        var revoked = RevocationSet()
        revoked.insert(try #require(UniqueID(text: accepted.tokenID)), expiresAt: accepted.expiresAt)
        #expect(throws: TokenRejection.revoked) { try verdict(token, revocations: revoked) }
        var leaked = RevocationSet()
        leaked.insert(keyID: accepted.keyID)
        #expect(throws: TokenRejection.revoked) { try verdict(token, revocations: leaked) }
        #expect(throws: TokenRejection.expired) { try verdict(token, now: accepted.expiresAt) }
        #expect(throws: TokenRejection.unknownKey) { try verdict(token, keys: VerificationKeys([])) }
        #expect(try verdict(token).tokenID == accepted.tokenID)
    }

    @Test func `a token that differs from a known one in one bit is verified for itself`() throws {
        let token = try forge.token()
        _ = try verdict(token)
        for position in stride(from: 0, to: token.count, by: 7) {
            var other = token
            other[position] ^= 1
            #expect(throws: TokenRejection.self) { try verdict(other) }
        }
        #expect(throws: TokenRejection.self) { try verdict(Array(token.dropLast())) }
    }

    @Test func `many tokens push out what nobody asks for, and each is still judged right`() throws {
        let tokens = try (0..<20).map { number in
            try forge.token(claim: "jti", .string("017f22e2-79b0-7cc3-98c4-dc0c0c0739\(10 + number)"))
        }
        for _ in 0..<3 {
            for (number, token) in tokens.enumerated() {
                #expect(try verdict(token).tokenID.hasSuffix("\(10 + number)"))
            }
        }
        #expect(seen.count <= 4)
    }
}
