import CPKCS11
import Foundation
import LatchkeyTesting
import LibCrypto
import Testing

@testable import PKCS11

/// Against SoftHSM. Each test has a token of its own, and every call runs on a thread of its own: they block.
@Suite(.enabled(if: SoftToken.isInstalled), .serialized) struct SecurityTokens {
    func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            Thread { continuation.resume(with: Result { try body() }) }.start()
        }
    }

    /// An id as Latchkey chooses it.
    static func id(_ key: PublicKey) -> [UInt8] {
        switch key.components {
        case .rsa(let modulus, _): SHA256.digest(modulus)
        case .p256(let x, let y): SHA256.digest(x + y)
        case .ed25519(let bytes): SHA256.digest(bytes)
        }
    }

    @Test(arguments: SecurityToken.algorithms)
    func `A key made in the token signs, and its public half verifies`(algorithm: SignatureAlgorithm) async throws {
        let token = try await SoftToken.named(.signing).opened()
        try await onThread {
            let key = try token.generate(algorithm, id: Self.id)
            #expect(key.algorithm == algorithm)
            let message = Array("message".utf8)
            let signature = try key.sign(message)
            #expect(key.publicKey.verify(signature, of: message))
            #expect(!key.publicKey.verify(signature, of: message + [0]))
            #expect(key.isWhole)
            // Of a row: by its id alone, in sessions of another login.
            let found = token.key(key.publicKey, id: Self.id(key.publicKey))
            #expect(key.publicKey.verify(try found.sign([]), of: []))
            #expect(token.failure == nil)
            // PS256 salts, the others of RSA do not; ECDSA never signs twice alike.
            #expect(try (key.sign([1]) == key.sign([1])) == (algorithm == .rs256))
        }
    }

    @Test func `The private half does not leave it`() async throws {
        let soft = try await SoftToken.named(.signing)
        try await onThread {
            let token = soft.opened()
            let key = try token.generate(.es256, id: Self.id)
            #expect(throws: CryptoError.heldElsewhere) { try key.pkcs8() }
            #expect("\(key)" == "****")
            let module = try TokenModule.load(SoftToken.module ?? "")
            try module.sharing { () throws(SecurityTokenError) in Self.examine(key, soft, module) }
        }
    }

    /// What the token itself says of a private half.
    private static func examine(_ key: PrivateKey, _ soft: SoftToken, _ module: TokenModule) {
        do {
            // A login holds for the whole process: another test may have begun the library anew.
            _ = try key.sign([0])
            let functions = module.functions.pointee
            var slot: CK_SLOT_ID = 0
            var matches = 0
            let label = Array(soft.label.utf8) + [UInt8](repeating: 0x20, count: 32 - soft.label.utf8.count)
            try #require(lk_find_slot(module.functions, label, &slot, &matches) == CKR_OK)
            var session: CK_SESSION_HANDLE = 0
            try #require(lk_open_session(module.functions, slot, LK_SIGNING, &session) == CKR_OK)
            defer { _ = functions.C_CloseSession(session) }
            let id = Self.id(key.publicKey)
            var object: CK_OBJECT_HANDLE = 0
            var count = 0
            try #require(lk_find(module.functions, session, LK_PRIVATE, id, id.count, &object, &count) == CKR_OK)
            try #require(count == 1)
            func flag(_ type: UInt) -> UInt8? {
                var value: UInt8 = 2
                let code = withUnsafeMutableBytes(of: &value) { bytes in
                    var attribute = CK_ATTRIBUTE(type: type, pValue: bytes.baseAddress, ulValueLen: 1)
                    return functions.C_GetAttributeValue(session, object, &attribute, 1)
                }
                return code == CKR_OK ? value : nil
            }
            #expect(flag(CKA_SENSITIVE) == 1)
            #expect(flag(CKA_EXTRACTABLE) == 0)
            #expect(flag(CKA_NEVER_EXTRACTABLE) == 1)
            #expect(flag(CKA_PRIVATE) == 1)
            var buffer = [UInt8](repeating: 0, count: 64)
            let refused = buffer.withUnsafeMutableBytes { bytes in
                var attribute = CK_ATTRIBUTE(type: CKA_VALUE, pValue: bytes.baseAddress, ulValueLen: 64)
                return functions.C_GetAttributeValue(session, object, &attribute, 1)
            }
            #expect(refused == CKR_ATTRIBUTE_SENSITIVE)
            #expect(buffer.allSatisfy { $0 == 0 })
        } catch {
            Issue.record(error)
        }
    }

    @Test func `Many threads sign at once`() async throws {
        let token = try await SoftToken.named(.signing).opened()
        let key = try await onThread { try token.generate(.es256, id: Self.id) }
        let verdicts = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<64 {
                group.addTask {
                    try await onThread { key.publicKey.verify(try key.sign([UInt8(number)]), of: [UInt8(number)]) }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(verdicts == [Bool](repeating: true, count: 64))
    }

    @Test func `A PIN that was refused is not tried again`() async throws {
        let soft = try await SoftToken.named(.pin)
        try await onThread {
            let token = soft.opened(pin: "wrong")
            let refused = #expect(throws: SecurityTokenError.self) { try token.generate(.es256, id: Self.id) }
            guard case .pinRefused(let code)? = refused else {
                Issue.record("\(String(describing: refused))")
                return
            }
            #expect(code == CKR_PIN_INCORRECT)
            #expect(token.failure == nil, "nothing was to be signed")
            let key = token.key(try PrivateKey.generate(.es256).publicKey, id: [1])
            #expect(throws: CryptoError.unreachable) { try key.sign([1]) }
            #expect(token.failure == refused)
            // Another process has the right one, and is let in.
            #expect(throws: Never.self) { try soft.opened().generate(.es256, id: Self.id) }
            #expect(throws: CryptoError.unreachable) { try key.sign([1]) }
        }
    }

    @Test func `A destroyed key signs no more, and is destroyed twice without complaint`() async throws {
        let token = try await SoftToken.named(.destroyed).opened()
        try await onThread {
            let key = try token.generate(.es256, id: Self.id)
            let other = try token.generate(.es256, id: Self.id)
            _ = try key.sign([1])
            for _ in 0..<2 {
                try token.destroy(id: Self.id(key.publicKey))
                #expect(throws: CryptoError.unreachable) { try key.sign([1]) }
                #expect(token.failure(of: Self.id(key.publicKey)) == .noKey)
            }
            #expect(other.isWhole)
            #expect(token.failure == nil)
        }
    }

    @Test func `A key that is missing is no failure of the token, and does not take the others' sessions away`()
        async throws
    {
        let token = try await SoftToken.named(.missing).opened()
        let (gone, other) = try await onThread {
            (try token.generate(.es256, id: Self.id), try token.generate(.es256, id: Self.id))
        }
        let module = try TokenModule.load(SoftToken.module ?? "")
        try await onThread {
            try token.destroy(id: Self.id(gone.publicKey))
            #expect(throws: CryptoError.unreachable) { try gone.sign([1]) }
        }
        // Once it looks for a key by that: it may have come back.
        try #require(await becomesTrue { !module.isAboutToRestart })
        try await onThread {
            let (id, otherID) = (Self.id(gone.publicKey), Self.id(other.publicKey))
            #expect(other.isWhole)
            let generation = module.generation
            for _ in 0..<5 {
                #expect(throws: CryptoError.unreachable) { try gone.sign([1]) }
                #expect(token.failure == nil)
                #expect(token.failure(of: id) == .noKey)
                #expect(token.failure(of: otherID) == nil)
                #expect(other.isWhole)
                #expect(token.failure(of: id) == .noKey, "another key's signature tells nothing of it")
            }
            #expect(module.generation == generation)
        }
    }

    @Test func `A token that is full makes no keys, and signs`() async throws {
        let token = try await SoftToken.named(.signing).opened()
        try await onThread {
            let key = try token.generate(.es256, id: Self.id)
            for _ in 0..<2 {
                #expect(throws: SecurityTokenError.failed(code: CKR_DEVICE_MEMORY)) {
                    try token.perform(.changing) { _ throws(SecurityTokenError) -> Void in
                        throw .failed(code: CKR_DEVICE_MEMORY)
                    }
                }
                #expect(token.failure == nil)
                #expect(token.failure(of: Self.id(key.publicKey)) == nil)
            }
            #expect(throws: SecurityTokenError.failed(code: CKR_DEVICE_MEMORY)) {
                try token.perform(.signing) { _ throws(SecurityTokenError) -> Void in
                    throw .failed(code: CKR_DEVICE_MEMORY)
                }
            }
            #expect(token.failure == .failed(code: CKR_DEVICE_MEMORY))
            // What is made since tells nothing of it; a signature does.
            _ = try token.generate(.es256, id: Self.id)
            #expect(token.failure != nil)
            #expect(key.isWhole)
            #expect(token.failure == nil)
        }
    }

    @Test func `What is no module, no token or no algorithm of its own is told`() async throws {
        let absent = SoftToken(label: "test absent", folder: "")
        let soft = try await SoftToken.named(.signing)
        try await onThread {
            let secret = SecretBytes(Array(SoftToken.pin.utf8))
            for path in ["/nowhere/libpkcs11.so", "/etc/passwd", "libc.so.6"] {
                let other = SecurityToken(module: path, label: "x", pin: secret)
                #expect(throws: SecurityTokenError.notAModule(path: path)) { try other.generate(.es256, id: Self.id) }
            }
            #expect(throws: SecurityTokenError.noToken(label: absent.label)) {
                try absent.opened().generate(.es256, id: Self.id)
            }
            #expect(throws: SecurityTokenError.unsupported("EdDSA")) {
                try soft.opened().generate(.edDSA, id: Self.id)
            }
            let unknown = soft.opened().key(try PrivateKey.generate(.rs256).publicKey, id: [9])
            #expect(throws: CryptoError.unreachable) { try unknown.sign([1]) }
            #expect(!unknown.isWhole)
        }
    }
}
