internal import CArgon2

/// What one argon2id hash costs. RFC 9106 §3.1, within bounds of our own, so that neither a setting nor a row of the
/// database can take a node down.
package struct Argon2Parameters: Sendable, Equatable {
    /// Memory in KiB: at least 8 for each lane, at most 1 GiB.
    package let memoryKiB: Int
    /// Passes over the memory, 1 to 64.
    package let iterations: Int
    /// Lanes, 1 to 16. They are computed one after the other on the calling thread.
    package let parallelism: Int

    /// OWASP's minimum for argon2id, and the settings' default.
    package static let standard = Argon2Parameters(
        unchecked: (memoryKiB: 19_456, iterations: 2, parallelism: 1))

    package static let memoryBounds = 8...1_048_576
    package static let iterationBounds = 1...64
    package static let parallelismBounds = 1...16

    /// - Throws: the parameter that is out of its bounds.
    package init(memoryKiB: Int, iterations: Int, parallelism: Int) throws(Argon2Error) {
        guard Self.parallelismBounds.contains(parallelism) else { throw .parallelismOutOfBounds }
        guard Self.iterationBounds.contains(iterations) else { throw .iterationsOutOfBounds }
        // RFC 9106 §3.1: m is at least 8p.
        guard Self.memoryBounds.contains(memoryKiB), memoryKiB >= 8 * parallelism else { throw .memoryOutOfBounds }
        self.init(unchecked: (memoryKiB, iterations, parallelism))
    }

    private init(unchecked: (memoryKiB: Int, iterations: Int, parallelism: Int)) {
        memoryKiB = unchecked.memoryKiB
        iterations = unchecked.iterations
        parallelism = unchecked.parallelism
    }

    /// Work in KiB filled: what the time of a hash is proportional to.
    package var cost: Int64 { Int64(memoryKiB) * Int64(iterations) }
}

/// Why a hash was not computed. Safe to log.
package enum Argon2Error: Error, Sendable, Equatable {
    case memoryOutOfBounds
    case iterationsOutOfBounds
    case parallelismOutOfBounds
    case saltTooShort
    case tagLengthOutOfBounds
    case inputTooLong
    /// The memory could not be allocated: the machine is short of it.
    case outOfMemory
    /// libargon2's own code, for anything else.
    case library(code: Int32)
}

/// argon2id, version 0x13, through libargon2. This is the only room that sees that library; no pointer leaves it.
package enum Argon2id {
    /// Hashes on the calling thread, for tens of milliseconds: never call it on a cooperative thread.
    ///
    /// - Parameters:
    ///   - salt: at least 8 bytes (RFC 9106 §3.1).
    ///   - secret: K, a pepper; empty for none.
    ///   - associatedData: X; empty for none.
    ///   - tagLength: bytes of the answer, 4 to 1,024.
    package static func hash(
        password: [UInt8],
        salt: [UInt8],
        secret: [UInt8],
        associatedData: [UInt8],
        parameters: Argon2Parameters,
        tagLength: Int
    ) throws(Argon2Error) -> [UInt8] {
        guard salt.count >= 8 else { throw .saltTooShort }
        guard (4...1_024).contains(tagLength) else { throw .tagLengthOutOfBounds }
        let longest = 1 << 20
        guard [password.count, salt.count, secret.count, associatedData.count].allSatisfy({ $0 <= longest }) else {
            throw .inputTooLong
        }

        // libargon2 takes mutable pointers, and wipes the copies of password and secret as soon as they are absorbed.
        var tag = [UInt8](repeating: 0, count: tagLength)
        var password = password
        var salt = salt
        var secret = secret
        var associatedData = associatedData
        let code = tag.withUnsafeMutableBufferPointer { tag in
            password.withUnsafeMutableBufferPointer { password in
                salt.withUnsafeMutableBufferPointer { salt in
                    secret.withUnsafeMutableBufferPointer { secret in
                        associatedData.withUnsafeMutableBufferPointer { associatedData in
                            var context = argon2_context()
                            context.out = tag.baseAddress
                            context.outlen = UInt32(tag.count)
                            context.pwd = password.baseAddress
                            context.pwdlen = UInt32(password.count)
                            context.salt = salt.baseAddress
                            context.saltlen = UInt32(salt.count)
                            context.secret = secret.baseAddress
                            context.secretlen = UInt32(secret.count)
                            context.ad = associatedData.baseAddress
                            context.adlen = UInt32(associatedData.count)
                            context.t_cost = UInt32(parameters.iterations)
                            context.m_cost = UInt32(parameters.memoryKiB)
                            context.lanes = UInt32(parameters.parallelism)
                            // The lanes are the algorithm's, the threads are ours: libargon2 would start `threads`
                            // of its own for each hash, beside those that the hasher counts against its budget.
                            context.threads = 1
                            context.version = ARGON2_VERSION_13.rawValue
                            // ARGON2_FLAG_CLEAR_PASSWORD and ARGON2_FLAG_CLEAR_SECRET, macros Swift does not import.
                            context.flags = UInt32(0b11)
                            return argon2id_ctx(&context)
                        }
                    }
                }
            }
        }
        guard code == ARGON2_OK.rawValue else {
            throw code == ARGON2_MEMORY_ALLOCATION_ERROR.rawValue ? .outOfMemory : .library(code: code)
        }
        return tag
    }
}
