import JOSE
import Latchkey
import LatchkeyVerifier
import LibCrypto

/// What the micro-benchmarks work on: one token of the usual size, its key, and a list of 10,000 revoked ids.
struct Sample {
    static let now: Int64 = 1_790_000_000

    let key: PrivateKey
    let keys: VerificationKeys
    let claims: AccessTokenClaims
    let payload: [UInt8]
    let signingInput: [UInt8]
    let token: [UInt8]
    let verifier: TokenVerifier
    let revocations: RevocationSet
    let unlisted: UniqueID
    let masterKeys: MasterKeys
    let successor: RefreshToken
    let refreshToken: String
    let body = Array(#"{"username":"user0001","password":"correct horse battery staple"}"#.utf8)
    let form: [UInt8]

    init() throws {
        func id(_ number: Int64) -> UniqueID {
            .version7(millisecondsSince1970: Self.now * 1000 + number, random: SecureRandom.bytes(10))
        }
        key = try PrivateKey.generate(.rs256)
        let publicKey = JSONWebKey(key.publicKey)
        keys = VerificationKeys([publicKey])
        claims = AccessTokenClaims(
            issuer: "https://id.example", subject: id(1).text, audience: ["https://id.example"],
            expiresAt: Self.now + 600, issuedAt: Self.now, tokenID: id(2), clientID: "first-party", sessionID: id(3),
            authenticatedAt: Self.now, scopes: ["account"], roles: [])
        payload = claims.encoded()
        let header = JSONWebSignature.header(
            algorithm: .rs256, keyID: publicKey.keyID, type: AccessTokenClaims.type)
        signingInput = JSONWebSignature.signingInput(header: header, payload: payload)
        token = Array(
            JSONWebSignature.compact(signingInput: signingInput, signature: try key.sign(signingInput)).utf8)
        verifier = TokenVerifier(issuer: "https://id.example", audience: "https://id.example", leeway: 30)
        var revocations = RevocationSet()
        for number in 0..<10_000 { revocations.insert(id(Int64(number)), expiresAt: Self.now + 600) }
        self.revocations = revocations
        unlisted = id(4)
        masterKeys = try MasterKeys([1: SecretBytes(SecureRandom.bytes(MasterKeys.length))])
        successor = RefreshToken(rid: [3] + SecureRandom.bytes(15), fence: 7, generation: 2)
        refreshToken = successor.text(masterKeys: masterKeys)
        form = Array("grant_type=refresh_token&refresh_token=\(refreshToken)".utf8)
    }
}
