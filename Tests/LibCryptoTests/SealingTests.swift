import LibCrypto
import Testing

@Suite struct Sealing {
    private let key = SecretBytes((0..<32).map { UInt8($0) })

    @Test(
        "AES-256-GCM opens the published vectors",
        arguments: [
            // McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 14 and 16: key, nonce, ciphertext and
            // tag, associated data, plaintext.
            (
                String(repeating: "00", count: 32), "000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919", "",
                "00000000000000000000000000000000"
            ),
            (
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
                    + "c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                    + "b16aedf5aa0de657ba637b39"
            ),
        ])
    func publishedVectors(key: String, nonce: String, sealed: String, data: String, plaintext: String) throws {
        let opened = try AES256GCM.open(
            [UInt8](hex: nonce + sealed), key: SecretBytes(hex: key), associatedData: [UInt8](hex: data))
        #expect(opened.revealed == [UInt8](hex: plaintext))
    }

    @Test("what was sealed is opened again", arguments: [0, 1, 16, 1000])
    func roundTrip(count: Int) throws {
        let plaintext = SecureRandom.secret(count)
        let sealed = try AES256GCM.seal(plaintext, key: key, associatedData: [1, 2])
        #expect(sealed.count == count + 28)
        #expect(try AES256GCM.open(sealed, key: key, associatedData: [1, 2]).revealed == plaintext.revealed)
    }

    @Test func `sealing twice never uses one nonce`() throws {
        let nonces = try (0..<100).map { _ in
            Array(try AES256GCM.seal(SecretBytes([1]), key: key, associatedData: []).prefix(12))
        }
        #expect(Set(nonces).count == 100)
    }

    @Test func `a change of any single bit is refused`() throws {
        let sealed = try AES256GCM.seal(SecretBytes([1, 2, 3]), key: key, associatedData: [9])
        for position in sealed.indices {
            for bit in 0..<8 {
                var tampered = sealed
                tampered[position] ^= 1 << UInt8(bit)
                #expect(throws: CryptoError.notAuthentic) {
                    try AES256GCM.open(tampered, key: key, associatedData: [9])
                }
            }
        }
    }

    @Test func `every truncation is refused`() throws {
        let sealed = try AES256GCM.seal(SecretBytes([1, 2, 3]), key: key, associatedData: [])
        for count in 0..<sealed.count {
            #expect(throws: CryptoError.notAuthentic) {
                try AES256GCM.open(Array(sealed.prefix(count)), key: key, associatedData: [])
            }
        }
    }

    @Test("other associated data is refused", arguments: [[], [1], [1, 2, 3], [2, 1]] as [[UInt8]])
    func otherData(data: [UInt8]) throws {
        let sealed = try AES256GCM.seal(SecretBytes([5]), key: key, associatedData: [1, 2])
        #expect(throws: CryptoError.notAuthentic) { try AES256GCM.open(sealed, key: key, associatedData: data) }
    }

    @Test func `another key is refused`() throws {
        let sealed = try AES256GCM.seal(SecretBytes([5]), key: key, associatedData: [])
        #expect(throws: CryptoError.notAuthentic) {
            try AES256GCM.open(sealed, key: SecureRandom.secret(32), associatedData: [])
        }
    }

    @Test("a key of another length is refused", arguments: [0, 16, 31, 33])
    func keyLength(count: Int) {
        let key = SecureRandom.secret(count)
        #expect(throws: CryptoError.wrongLength) { try AES256GCM.seal(SecretBytes([1]), key: key, associatedData: []) }
        #expect(throws: CryptoError.wrongLength) {
            try AES256GCM.open([UInt8](repeating: 0, count: 40), key: key, associatedData: [])
        }
    }
}
