import JOSE
import LatchkeyVerifier
import LibCrypto
import Testing

/// One JWKS with a key of each algorithm, of which RS256 and PS256 are the same RSA key under two `kid`s: the one case in
/// which nothing but the key's own algorithm tells a good signature from a wrong one.
@Suite struct AlgorithmConfusion {
    private struct Ring {
        let privateKeys: [SignatureAlgorithm: PrivateKey]
        let keys: VerificationKeys

        init() throws {
            let rsa = try PrivateKey.generate(.rs256)
            let made: [SignatureAlgorithm: PrivateKey] = [
                .rs256: rsa, .ps256: try PrivateKey(pkcs8: rsa.pkcs8(), algorithm: .ps256),
                .es256: try PrivateKey.generate(.es256), .edDSA: try PrivateKey.generate(.edDSA),
            ]
            privateKeys = made
            // Through the document that verifiers read.
            let documents = SignatureAlgorithm.allCases.compactMap { algorithm in
                made[algorithm].map { key -> JSONValue in
                    var json = JSONWebKey(key.publicKey).json
                    json["kid"] = .string(Ring.keyID(algorithm))
                    return .object(json)
                }
            }
            keys = VerificationKeys(
                try JSONWebKeySet(parsing: JSONObject([("keys", .array(documents))]).encoded()).keys)
        }

        static func keyID(_ algorithm: SignatureAlgorithm) -> String { "key-\(algorithm.rawValue)" }

        func token(header: String, keyID: String, signedBy algorithm: SignatureAlgorithm) throws -> [UInt8] {
            let header: JSONObject = ["alg": .string(header), "typ": "at+jwt", "kid": .string(keyID)]
            let input = JSONWebSignature.signingInput(header: header.encoded(), payload: TokenForge.claims.encoded())
            let signature = try privateKeys[algorithm]?.sign(input) ?? []
            return Array(JSONWebSignature.compact(signingInput: input, signature: signature).utf8)
        }

        func verdict(_ token: [UInt8]) -> TokenRejection? {
            do throws(TokenRejection) {
                _ = try TokenVerifier.authenticate(token, keys: keys)
                return nil
            } catch {
                return error
            }
        }
    }

    private static let ring = Result { try Ring() }

    @Test(arguments: SignatureAlgorithm.allCases, SignatureAlgorithm.allCases)
    func `A token verifies by its key's algorithm alone, whatever its header says and whoever signed it`(
        header: SignatureAlgorithm, named: SignatureAlgorithm
    ) throws {
        let ring = try Self.ring.get()
        try #require(ring.keys.count == 4)
        for signer in SignatureAlgorithm.allCases {
            let token = try ring.token(header: header.rawValue, keyID: Ring.keyID(named), signedBy: signer)
            let expected: TokenRejection? =
                header != named ? .wrongAlgorithm : signer != named ? .badSignature : nil
            #expect(ring.verdict(token) == expected, "signed by \(signer.rawValue)")
        }
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `A header with an algorithm that no key has is refused for every key`(named: SignatureAlgorithm) throws {
        let ring = try Self.ring.get()
        for header in [
            "none", "None", "HS256", "RS384", "RS512", "PS384", "ES384", "ES256K", "Ed25519", "eddsa", "es256", "EDDSA",
            "RS256 ", "", "ES256\u{301}",
        ] {
            let token = try ring.token(header: header, keyID: Ring.keyID(named), signedBy: named)
            #expect(ring.verdict(token) == .wrongAlgorithm, "\(header)")
        }
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `A public key is no secret to sign by`(named: SignatureAlgorithm) throws {
        let ring = try Self.ring.get()
        let publicKey = try #require(ring.keys[Ring.keyID(named)])
        let secrets: [[UInt8]] =
            switch publicKey.components {
            case .rsa(let modulus, _): [modulus, [0] + modulus]
            case .p256(let x, let y): [x + y, [4] + x + y]
            case .ed25519(let bytes): [bytes]
            }
        for header in ["HS256", named.rawValue] {
            let head: JSONObject = ["alg": .string(header), "typ": "at+jwt", "kid": .string(Ring.keyID(named))]
            let input = JSONWebSignature.signingInput(header: head.encoded(), payload: TokenForge.claims.encoded())
            for secret in secrets + [JSONWebKey(publicKey).json.encoded()] {
                let forged = JSONWebSignature.compact(
                    signingInput: input, signature: HMACSHA256.authenticate(input, key: SecretBytes(secret)))
                #expect(
                    ring.verdict(Array(forged.utf8)) == (header == "HS256" ? .wrongAlgorithm : .badSignature))
            }
        }
    }
}
