import LibCrypto
import Testing

/// Signatures and forgeries of the Wycheproof project (github.com/C2SP/wycheproof, testvectors_v1): each file's key, some
/// of its valid signatures, and what it says must be refused.
@Suite struct PublishedSignatures {
    private static let message = [UInt8](hex: "313233343030")

    // MARK: PS256

    /// The key of rsa_pss_2048_sha256_mgf1_32_test.json and of rsa_pss_2048_sha256_mgf1_0_test.json.
    private static let rsaModulus = """
        a2b451a07d0aa5f96e455671513550514a8a5b462ebef717094fa1fee82224e637f9746d3f7cafd31878d80325b6ef5a1700f65903b4\
        69429e89d6eac8845097b5ab393189db92512ed8a7711a1253facd20f79c15e8247f3d3e42e46e48c98e254a2fe9765313a03eff8f17\
        e1a029397a1fa26a8dce26f490ed81299615d9814c22da610428e09c7d9658594266f5c021d0fceca08d945a12be82de4d1ece6b4c03\
        145b5d3495d4ed5411eb878daf05fd7afc3e09ada0f1126422f590975a1969816f48698bcbba1b4d9cae79d460d8f9f85e7975005d9b\
        c22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530e773066f453d1f5b4c2e9cf7820283f742b9d5
        """

    private static func rsa(_ algorithm: SignatureAlgorithm) throws -> PublicKey {
        try PublicKey(.rsa(modulus: [UInt8](hex: rsaModulus), exponent: [1, 0, 1]), algorithm: algorithm)
    }

    /// Of salts of 32 bytes, tcId 1 and 4.
    static let salted: [(message: [UInt8], signature: String)] = [
        (
            [],
            """
            4f01e0c12b08625ecac89a69231906edf826380f37c959a96690d046316d68ffce9d5c471694fcebfc6b45534864689256e4fc81\
            c78e583f675d0c94b449647451e81beff01a11a516d5e5ce3f1a910437cb8a3a5096b19fb15f4524a35b23d89cdba12cf5b71aac\
            1047b28c562df7c5542c34ce23a182cf7e0e231934b17294799d44877a1d68ef1b8f073619b7618e6b7c22db20030d98cf591ffc\
            3d4da5f58613ecd5ecfc3b40a1d02f40891ca43695cd4c088b05a8054c89c595a47e274816f35384226f74459ee63e25a1bfc03c\
            360490552ec38343f8ace502f065303b00bc0ec320711b211fde92e57feb9013c3609342495ec0d7cabdec21e54acc38
            """
        ),
        (
            message,
            """
            68caf07e71ee654ffabf07d342fc4059deb4f7e5970746c423b1e8f668d5332275cc35eb61270aebd27855b1e80d59def47fe888\
            2867fd33c2308c91976baa0b1df952caa78db4828ab81e79949bf145cbdfd1c4987ed036f81e8442081016f20fa4b587574884ca\
            6f6045959ce3501ae7c02b1902ec1d241ef28dee356c0d30d28a950f1fbc683ee7d9aad26b048c13426fe3975d5638afeb5b9c1a\
            99d162d3a5810e8b074d7a2eae2be52b577151f76e1f734b0a956ef4f22be64dc20a81ad1316e4f79dff5fc41fc08a20bc612283\
            a88415d41595bfea66d59de7ac12e230f72244ad9905aef0ead3fa41ed70bf4218863d5f041292f2d14ce0a7271c6d36
            """
        ),
    ]

    /// Of no salt, tcId 1 and 4: good by PSS, and not PS256 (RFC 7518 §3.5: the salt is as long as the digest).
    static let unsalted: [(message: [UInt8], signature: String)] = [
        (
            [],
            """
            20081f8894a1330c4d503f642880e3c30e398fc6235c24f1be752e2d49cd9493ac0cf999e275c4f89ff08f0d9ba4e264a332525a\
            616d336bd9e822f41ab3f4fae2f48ec66c2e52642ed93b7cb944396fbaa727cbfdfc1f20aace99a6f2a74475c338f8d9f22a38cb\
            5bc51752076503b3aef1e65e5a8f8583d9ae7378ded038cf516898ad06beb90a42b85764526fcea44f74258fa4efb1da253d337f\
            65619181ceb832dfe285ce78ae6b15f204e23bab274e87445d9f5df97f41dc8e3a97736b62591d075744b2552f90bcf1b1393e1e\
            7627ef1f985f2bbabd52e43a35d0ddf4c67126e391f922ef7b1bb1911cd6e1b303cb2910dd70672bbfb62ea4eaad725c
            """
        ),
        (
            message,
            """
            5e91b5dcbf02d6f19621d41a83dc8f15ea83c0edb83765ef029b0acac2e1ec8918b1d2afe1fadf11c48d27594cb9c01fed79d90e\
            5d5a8085c438450111aa7d9fa39c2345b14fc3c2cb34128f86db5eb00bdf8dfe38d61f29a41fe31342e7aaefcb4b122eb5d63c2f\
            5c263c8df8450e9428ffef974d535818d51dc03a7d60c8b2d16c999ae46d73ab40515fe601d9b89b1d09c6d60cd51639a97c1d21\
            1e097609ba5e8c319c6fbd21b34a634ec8fb8971c5aae21c70b847a4539cc10dc314ddd8a9629e8a0e51c66c0cb61fd1f7228c01\
            c6769190abe9bac9a3897800050014358594e0fb20dbb458b12aa1346826cc9f7e9c5352b073d62853dafe77c848cb1f
            """
        ),
    ]

    @Test func `PS256 has a salt of 32 bytes, and no other`() throws {
        let key = try Self.rsa(.ps256)
        for (message, signature) in Self.salted {
            #expect(key.verify([UInt8](hex: signature), of: message))
            #expect(try !Self.rsa(.rs256).verify([UInt8](hex: signature), of: message))
        }
        for (message, signature) in Self.unsalted {
            #expect(!key.verify([UInt8](hex: signature), of: message))
            #expect(try !Self.rsa(.rs256).verify([UInt8](hex: signature), of: message))
        }
    }

    @Test func `An RSA signature that is not below the modulus is refused`() throws {
        // 0, 1, n - 1, n, n + 1 and all ones.
        let modulus = [UInt8](hex: Self.rsaModulus)
        func changed(_ last: UInt8) -> [UInt8] { modulus.dropLast() + [last] }
        let zeros = [UInt8](repeating: 0, count: 255)
        for algorithm in [SignatureAlgorithm.rs256, .ps256] {
            let key = try Self.rsa(algorithm)
            for signature in [
                zeros + [0], zeros + [1], changed(0xd4), modulus, changed(0xd6), [UInt8](repeating: 0xff, count: 256),
            ] {
                #expect(!key.verify(signature, of: Self.message))
            }
        }
    }

    // MARK: ES256

    /// ecdsa_secp256r1_sha256_p1363_test.json, the first key and its tcId 1.
    private static let x = "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
    private static let y = "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
    private static let r = "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
    private static let s = "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"

    private static func p256() throws -> PublicKey {
        try PublicKey(.p256(x: [UInt8](hex: x), y: [UInt8](hex: y)), algorithm: .es256)
    }

    @Test func `The ES256 signature verifies`() throws {
        #expect(try Self.p256().verify([UInt8](hex: Self.r + Self.s), of: Self.message))
    }

    /// tcId 2 to 10: r or s with the order, 256 times the order, 2²⁵⁶ or 2³²⁰ added, and r taken from the order.
    @Test(arguments: [
        """
        012ba3a8bd6b94d5ed80a6d9d1190a436ebccc0833490686deac8635bcb9bf536900b329f479a2bbd0a5c384ee1493b1f5186a87139c\
        ac5df4087c134b49156847db
        """,
        """
        01002ba3a7be6b94d6ec80a6d9d1190a432be6dfbb2cb98d6d4d72972df620817f180000b329f479a2bbd0a5c384ee1493b1f5186a87\
        139cac5df4087c134b49156847db
        """,
        """
        d45c5740946b2a147f59262ee6f5bc90bd01ed280528b62b3aed5fc93f06f739b329f479a2bbd0a5c384ee1493b1f5186a87139cac5d\
        f4087c134b49156847db
        """,
        """
        012ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e1800b329f479a2bbd0a5c384ee1493b1f5186a87139c\
        ac5df4087c134b49156847db
        """,
        """
        0100000000000000002ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18000000000000000000b329f479\
        a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db
        """,
        """
        01b329f478a2bbd0a6c384ee1493b1f518276e0e4a5375928d6fcd160c11cb6d2c00b329f479a2bbd0a5c384ee1493b1f5186a87139c\
        ac5df4087c134b49156847db
        """,
    ])
    func `An ES256 signature whose numbers were changed is refused`(signature: String) throws {
        #expect(try !Self.p256().verify([UInt8](hex: signature), of: Self.message))
    }

    /// tcId 11 on: CVE-2022-21449 and its kin.
    @Test func `ES256 signatures of 0, 1, the order, the prime and their neighbours are refused`() throws {
        let key = try Self.p256()
        let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc6325"
        let numbers =
            [String(repeating: "0", count: 64), String(repeating: "0", count: 63) + "1"]
            + ["50", "51", "52"].map { order + $0 } + [
                "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
                "ffffffff00000001000000000000000000000001000000000000000000000000",
                String(repeating: "f", count: 64),
            ]
        for r in numbers {
            for s in numbers { #expect(!key.verify([UInt8](hex: r + s), of: Self.message), "\(r) \(s)") }
        }
    }

    // MARK: EdDSA

    /// ed25519_test.json, the first key.
    private static func ed25519() throws -> PublicKey {
        try PublicKey(
            .ed25519([UInt8](hex: "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa")),
            algorithm: .edDSA)
    }

    /// tcId 5.
    private static let edR = "657c1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b"
    private static let edS = "f0cf5b3a289976458a1be6277a5055545253b45b07dcc1abd96c8b989c00f301"
    /// The group's order L, little-endian (RFC 8032 §5.1).
    private static let edOrder = [UInt8](hex: "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")

    @Test func `The Ed25519 signature verifies, and with the order added to S it does not`() throws {
        let key = try Self.ed25519()
        let r = [UInt8](hex: Self.edR)
        var s = [UInt8](hex: Self.edS)
        #expect(key.verify(r + s, of: Self.message))
        // RFC 8032 §8.4: without the check each signature would have a twin.
        for _ in 0..<14 {
            var carry = 0
            for index in s.indices {
                let sum = Int(s[index]) + Int(Self.edOrder[index]) + carry
                s[index] = UInt8(truncatingIfNeeded: sum)
                carry = sum >> 8
            }
            #expect(!key.verify(r + s, of: Self.message))
        }
    }

    /// tcId 10 to 29.
    @Test func `Ed25519 signatures of 0, 1, the order and the prime are refused`() throws {
        let key = try Self.ed25519()
        let numbers = [
            String(repeating: "0", count: 64), "01" + String(repeating: "0", count: 62),
            "ecd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010",
            "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010",
            "ed" + String(repeating: "f", count: 60) + "7f",
        ]
        for r in numbers {
            for s in numbers { #expect(!key.verify([UInt8](hex: r + s), of: [0x3f]), "\(r) \(s)") }
        }
    }
}
