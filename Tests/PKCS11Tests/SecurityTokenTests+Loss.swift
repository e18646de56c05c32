import CPKCS11
import Foundation
import LatchkeyTesting
import LibCrypto
import Synchronization
import Testing

@testable import PKCS11

/// What the token lost, and what a module answers that no module may.
extension SecurityTokens {
    /// All of them, and the login with them: what a restart of the token does.
    private static func closeAllSessions(_ soft: SoftToken) {
        do {
            let module = try TokenModule.load(SoftToken.module ?? "")
            var slot: CK_SLOT_ID = 0
            var matches = 0
            let label = Array(soft.label.utf8) + [UInt8](repeating: 0x20, count: 32 - soft.label.utf8.count)
            try TokenSession.check(lk_find_slot(module.functions, label, &slot, &matches))
            #expect(module.functions.pointee.C_CloseAllSessions(slot) == CKR_OK)
        } catch {
            Issue.record(error)
        }
    }

    @Test func `Sessions that the token has lost are opened again`() async throws {
        let soft = try await SoftToken.named(.lost)
        try await onThread {
            let token = soft.opened()
            let key = try token.generate(.rs256, id: Self.id)
            let module = try TokenModule.load(SoftToken.module ?? "")
            for _ in 0..<3 {
                #expect(key.publicKey.verify(try key.sign([1]), of: [1]))
                try module.sharing { () throws(SecurityTokenError) in Self.closeAllSessions(soft) }
                #expect(key.publicKey.verify(try key.sign([2]), of: [2]))
                #expect(token.failure == nil)
            }
            // The library itself begins anew.
            module.restart()
            #expect(key.publicKey.verify(try key.sign([3]), of: [3]))
        }
    }

    /// A token that was unplugged, and a key that is not there.
    @Test(arguments: [SoftToken.Label.unplugged, .missing])
    func `No signature waits for the module to begin anew while a key is made`(label: SoftToken.Label) async throws {
        let soft = try await SoftToken.named(label)
        let token = soft.opened()
        let key = try await onThread {
            let key = try token.generate(.es256, id: Self.id)
            if label == .missing { try token.destroy(id: Self.id(key.publicKey)) }
            return key
        }
        let module = try TokenModule.load(SoftToken.module ?? "")
        let (begun, made) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        async let making: Void = onThread {
            try module.sharing { () throws(SecurityTokenError) in
                begun.signal()
                made.wait()
            }
        }
        try await onThread { begun.wait() }
        if label == .unplugged { try soft.hide() }
        let answered = Mutex(0)
        for _ in 0..<4 {
            Thread {
                for _ in 0..<2 {
                    _ = try? key.sign([1])
                    answered.withLock { $0 += 1 }
                }
            }.start()
        }
        let areAnswered = await becomesTrue(within: .seconds(2)) { answered.withLock { $0 } == 8 }
        let isComing = module.isAboutToRestart
        if label == .unplugged { try soft.show() }
        made.signal()
        try await making
        #expect(areAnswered, "\(answered.withLock { $0 }) of 8")
        #expect(isComing)
        #expect(await becomesTrue { !module.isAboutToRestart })
        if label == .unplugged {
            // Where the module began anew for another a moment ago, the key is looked for a minute later.
            let signs = try await becomesTrue(within: .seconds(120)) {
                try await onThread { (try? key.sign([2])) != nil }
            }
            #expect(signs)
        }
    }

    /// Its token blinks again within the two seconds in which the module does not begin anew.
    @Test func `A key that is missing right after the module began anew is looked for again within seconds`()
        async throws
    {
        let token = try await SoftToken.named(.blinks).opened()
        let module = try TokenModule.load(SoftToken.module ?? "")
        let generation = try await onThread {
            let key = try token.generate(.es256, id: Self.id)
            try token.destroy(id: Self.id(key.publicKey))
            module.restart()
            let generation = module.generation
            #expect(throws: CryptoError.unreachable) { try key.sign([1]) }
            #expect(token.failure(of: Self.id(key.publicKey)) == .noKey)
            return generation
        }
        #expect(await becomesTrue(within: .seconds(20)) { module.generation > generation })
    }

    @Test func `A key that is being made for too long keeps no other call of that kind, and the token signs on`()
        async throws
    {
        let token = try await SoftToken.named(.signing).opened()
        let key = try await onThread { try token.generate(.es256, id: Self.id) }
        #expect(!token.isStuck)
        let made = DispatchSemaphore(value: 0)
        async let making: Void = onThread {
            _ = try token.generate(.es256, within: .milliseconds(50)) { publicKey in
                made.wait()
                return Self.id(publicKey)
            }
        }
        #expect(await becomesTrue { token.isStuck })
        #expect(try await onThread { key.isWhole })
        #expect(token.failure == nil)
        made.signal()
        try await making
        #expect(!token.isStuck)
    }

    @Test func `A pair that was made before the token was lost does not stay in it`() async throws {
        let soft = try await SoftToken.named(.lost)
        try await onThread {
            let token = soft.opened()
            let before = try soft.objectCount()
            var pairs = 0
            let key = try token.generate(.es256) { publicKey in
                pairs += 1
                if pairs == 1 { Self.closeAllSessions(soft) }
                return Self.id(publicKey)
            }
            #expect(pairs == 2)
            #expect(key.isWhole)
            #expect(try soft.objectCount() == before + 2)
        }
    }

    /// `CK_UNAVAILABLE_INFORMATION` with CKR_OK, as no module may answer.
    @Test func `A length that the module does not tell is not believed`() throws {
        var functions = try TokenModule.load(SoftToken.module ?? "").functions.pointee
        functions.C_FindObjectsInit = { _, _, _ in CKR_OK }
        functions.C_FindObjects = { _, object, _, count in
            object?.pointee = 1
            count?.pointee = 1
            return CKR_OK
        }
        functions.C_FindObjectsFinal = { _ in CKR_OK }
        functions.C_SignInit = { _, _, _ in CKR_OK }
        functions.C_Sign = { _, _, _, _, count in
            count?.pointee = .max
            return CKR_OK
        }
        functions.C_GetAttributeValue = { _, _, attribute, _ in
            attribute?.pointee.ulValueLen = .max
            return CKR_OK
        }
        withUnsafePointer(to: functions) { functions in
            var session = TokenSession(1, .signing, login: 1, module: TokenModule(functions))
            #expect(throws: SecurityTokenError.failed(code: CKR_BUFFER_TOO_SMALL)) {
                try session.sign([1], mechanism: LK_RS256, id: [1])
            }
            #expect(throws: SecurityTokenError.malformedKey) { try session.number(LK_MODULUS, of: 1) }
        }
    }
}
