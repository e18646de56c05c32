import Foundation
import LibCrypto
import Testing

@Suite struct PrivateKeyFiles {
    private typealias Fixtures = PrivateKeyFixtures

    private static func read(
        _ text: String, passphrase: String? = nil, _ algorithm: SignatureAlgorithm? = nil
    ) throws(PrivateKeyFileError) -> PrivateKey {
        try PrivateKey(
            pem: SecretBytes(Array(text.utf8)), passphrase: passphrase.map { SecretBytes(Array($0.utf8)) },
            algorithm: algorithm)
    }

    /// PKCS #8 of a new key.
    private static func pem(_ algorithm: SignatureAlgorithm) throws -> (key: PrivateKey, text: String) {
        let key = try PrivateKey.generate(algorithm)
        let body = Data(try key.pkcs8().revealed).base64EncodedString(options: .lineLength64Characters)
        return (key, "-----BEGIN PRIVATE KEY-----\n\(body)\n-----END PRIVATE KEY-----\n")
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `PKCS #8 is read, and signs by the algorithm that was asked for`(algorithm: SignatureAlgorithm) throws {
        let (key, text) = try Self.pem(algorithm)
        let read = try Self.read(text, algorithm)
        #expect(read.algorithm == algorithm)
        #expect(read.publicKey.components == key.publicKey.components)
        #expect(key.publicKey.verify(try read.sign([1]), of: [1]))
        // Without a wish RSA signs RS256, the others as they can.
        #expect(try Self.read(text).algorithm == (algorithm == .ps256 ? .rs256 : algorithm))
        // CRLF, and what stands around it.
        let windows = "a comment\r\n" + text.replacing("\n", with: "\r\n") + "\r\n"
        #expect(try Self.read(windows, algorithm).publicKey.components == key.publicKey.components)
    }

    @Test func `The older forms are read`() throws {
        #expect(try Self.read(Fixtures.rsaTraditional).algorithm == .rs256)
        #expect(try Self.read(Fixtures.rsaTraditional, .ps256).algorithm == .ps256)
        #expect(try Self.read(Fixtures.ecTraditional).algorithm == .es256)
    }

    @Test(arguments: [Fixtures.ecEncrypted, Fixtures.ecTraditionalEncrypted])
    func `An encrypted one opens with its passphrase alone`(text: String) throws {
        let key = try Self.read(text, passphrase: Fixtures.passphrase)
        #expect(try key.publicKey.components == Self.read(Fixtures.ecTraditional).publicKey.components)
        #expect(throws: PrivateKeyFileError.needsPassphrase) { try Self.read(text) }
        for wrong in ["", "open sesamE", "open sesame\n", String(repeating: "x", count: 2000)] {
            #expect(throws: PrivateKeyFileError.wrongPassphrase) { try Self.read(text, passphrase: wrong) }
        }
    }

    @Test(
        arguments: [
            ("", .noPrivateKey), ("x", .noPrivateKey), (Fixtures.publicKey, .noPrivateKey),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", .noPrivateKey),
            ("-----BEGIN PRIVATE KEY-----\n", .noPrivateKey),
            (Fixtures.ecTraditional.replacing("BEGIN EC PRIVATE", with: "BEGIN RSA PRIVATE"), .noPrivateKey),
            (Fixtures.ecTraditional + "\n" + Fixtures.rsaTraditional, .severalPrivateKeys),
            (Fixtures.p384, .unsupportedCurve), (Fixtures.k256, .unsupportedCurve),
            (Fixtures.ecExplicitCurve, .unsupportedCurve), (Fixtures.x25519, .unsupportedKind),
            (Fixtures.rsaPSS, .unsupportedKind), (Fixtures.rsa1024, .rsaSize(bits: 1024)),
            (Fixtures.rsaExponent3, .rsaExponent), (Fixtures.rsaThreePrimes, .rsaPrimeCount),
            (Fixtures.rsaClosePrimes, .rsaPrimes), (Fixtures.rsaUnequalPrimes, .rsaPrimes),
            (Fixtures.rsaCompositePrime, .inconsistent), (Fixtures.rsaForeignExponent, .inconsistent),
        ] as [(String, PrivateKeyFileError)])
    func `What is no good key is refused with the reason`(text: String, reason: PrivateKeyFileError) {
        #expect(throws: reason) { try Self.read(text) }
        #expect(!"\(reason)".isEmpty && !"\(reason)".contains("\n"))
    }

    @Test func `A key signs by no algorithm of another kind`() throws {
        let kinds: [(String, [SignatureAlgorithm])] = [
            (Fixtures.rsaTraditional, [.es256, .edDSA]), (Fixtures.ecTraditional, [.rs256, .ps256, .edDSA]),
            (try Self.pem(.edDSA).text, [.rs256, .ps256, .es256]),
        ]
        for (text, algorithms) in kinds {
            for algorithm in algorithms {
                #expect(throws: PrivateKeyFileError.wrongKind(algorithm)) { try Self.read(text, algorithm) }
            }
        }
    }

    @Test func `A P-256 key whose halves do not belong together is refused`() throws {
        guard case .p256(let x, let y) = try Self.pem(.es256).key.publicKey.components else { return }
        let (key, _) = try Self.pem(.es256)
        guard case .p256(let own, _) = key.publicKey.components else { return }
        var der = try key.pkcs8().revealed
        let start = try #require(der.indices.first { der[$0...].starts(with: own) })
        der.replaceSubrange(start..<(start + 64), with: x + y)
        let body = Data(der).base64EncodedString()
        #expect(throws: PrivateKeyFileError.inconsistent) {
            try Self.read("-----BEGIN PRIVATE KEY-----\n\(body)\n-----END PRIVATE KEY-----\n")
        }
    }

    /// 65537¹²⁸ bears the mark by its making: a power of 65537 modulo everything.
    @Test func `The mark of CVE-2017-15361 is seen, and on no key of ours`() throws {
        var power: [UInt8] = [1]
        for _ in 0..<128 {
            // Times 65537 is itself and itself two bytes on.
            var (sum, carry) = ([UInt8](repeating: 0, count: power.count + 2), 0)
            let (low, high) = ([0, 0] + power, power + [0, 0])
            for index in sum.indices.reversed() {
                carry += Int(low[index]) + Int(high[index])
                sum[index] = UInt8(truncatingIfNeeded: carry)
                carry >>= 8
            }
            power = carry > 0 ? [UInt8(carry)] + sum : sum
        }
        #expect(power.count >= 256)
        #expect(PrivateKey.hasKnownFlaw(modulus: power))
        #expect(PrivateKey.hasKnownFlaw(modulus: [0] + power))
        for _ in 0..<3 {
            guard case .rsa(let modulus, _) = try PrivateKey.generate(.rs256).publicKey.components else { continue }
            #expect(!PrivateKey.hasKnownFlaw(modulus: modulus))
        }
    }
}
