import CPKCS11

/// One session with a token: of one thread at a time. What it learned of the token's objects is its own, and forgotten
/// with it.
struct TokenSession: Sendable {
    enum Use { case signing, changing }

    let handle: CK_SESSION_HANDLE
    let use: Use
    /// Which login it belongs to: sessions of an earlier one are void.
    let login: Int
    private let module: TokenModule
    private let generation: Int
    private var privateHalves: [[UInt8]: CK_OBJECT_HANDLE] = [:]

    init(_ handle: CK_SESSION_HANDLE, _ use: Use, login: Int, module: TokenModule) {
        self.handle = handle
        self.use = use
        self.login = login
        self.module = module
        generation = module.generation
    }

    static func check(_ code: CK_RV) throws(SecurityTokenError) {
        guard code == CKR_OK else { throw .failed(code: code) }
    }

    /// Called while nobody restarts the module.
    func close() {
        guard generation == module.generation else { return }
        _ = module.functions.pointee.C_CloseSession(handle)
    }

    /// - Parameter message: the digest, for ECDSA.
    mutating func sign(
        _ message: [UInt8], mechanism: lk_mechanism, id: [UInt8]
    ) throws(SecurityTokenError) -> [UInt8] {
        let key = try privateHalf(id)
        // RSA of 8,192 bits signs in 1,024 bytes.
        var signature = [UInt8](repeating: 0, count: 1024)
        var count = signature.count
        try Self.check(
            lk_sign(module.functions, handle, key, mechanism, message, message.count, &signature, &count))
        // CK_UNAVAILABLE_INFORMATION is -1 here.
        guard 0...signature.count ~= count else { throw .failed(code: CKR_BUFFER_TOO_SMALL) }
        return Array(signature[..<count])
    }

    private mutating func privateHalf(_ id: [UInt8]) throws(SecurityTokenError) -> CK_OBJECT_HANDLE {
        if let known = privateHalves[id] { return known }
        let found = try find(LK_PRIVATE, id)
        // Two with one id: which of them signs would be chance.
        guard found.count == 1 else { throw .noKey }
        privateHalves[id] = found.object
        return found.object
    }

    private func find(
        _ half: lk_half, _ id: [UInt8]
    ) throws(SecurityTokenError) -> (object: CK_OBJECT_HANDLE, count: Int) {
        var object: CK_OBJECT_HANDLE = 0
        var count = 0
        try Self.check(lk_find(module.functions, handle, half, id, id.count, &object, &count))
        return (object, count)
    }

    /// A new key pair's handles.
    ///
    /// - Parameter id: the CKA_ID that both halves are born with.
    func generate(
        bits: Int, id: [UInt8]
    ) throws(SecurityTokenError) -> (publicHalf: CK_OBJECT_HANDLE, privateHalf: CK_OBJECT_HANDLE) {
        var publicHalf: CK_OBJECT_HANDLE = 0
        var privateHalf: CK_OBJECT_HANDLE = 0
        try Self.check(
            lk_generate_key_pair(
                module.functions, handle, CK_ULONG(bits), id, id.count, &publicHalf, &privateHalf))
        return (publicHalf, privateHalf)
    }

    func number(_ number: lk_number, of object: CK_OBJECT_HANDLE) throws(SecurityTokenError) -> [UInt8] {
        var value = [UInt8](repeating: 0, count: 1100)
        var count = value.count
        try Self.check(lk_read_number(module.functions, handle, object, number, &value, &count))
        guard 0...value.count ~= count else { throw .malformedKey }
        return Array(value[..<count])
    }

    func name(_ object: CK_OBJECT_HANDLE, _ id: [UInt8]) throws(SecurityTokenError) {
        try Self.check(lk_set_id(module.functions, handle, object, id, id.count))
    }

    func destroy(_ object: CK_OBJECT_HANDLE) throws(SecurityTokenError) {
        try Self.check(module.functions.pointee.C_DestroyObject(handle, object))
    }

    /// Destroys both halves with this id; those that are gone already are no error.
    /// - Returns: how many objects there were.
    func destroy(id: [UInt8]) throws(SecurityTokenError) -> Int {
        var count = 0
        for half in [LK_PRIVATE, LK_PUBLIC] {
            var found = try find(half, id)
            while found.count > 0 {
                try destroy(found.object)
                count += 1
                found = try find(half, id)
            }
        }
        return count
    }
}
