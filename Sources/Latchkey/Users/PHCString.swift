/// A stored password hash, as the PHC string format writes it for argon2id:
///
///     phc    = "$argon2id$v=19$m=" number ",t=" number ",p=" number [ ",keyid=" keyid ] "$" salt "$" tag
///     keyid  = B64 of 2 bytes             ; the version of the master key that the pepper comes from
///     number = decimal, without sign or leading zero
///     salt   = B64 of 8 to 64 bytes       ; RFC 4648 §4 without padding, canonical tail
///     tag    = B64 of 16 to 64 bytes
///
/// One hash has one spelling: what does not print again as it was read is refused.
package struct PHCString: Sendable, Equatable {
    package let parameters: Argon2Parameters
    package let salt: [UInt8]
    package let tag: [UInt8]
    /// nil: hashed without a pepper.
    package let pepperVersion: Int16?

    /// Length of salts and tags that are made here, in bytes. RFC 9106 §3.1 recommends 16 and 32 or less.
    package static let saltLength = 16
    package static let tagLength = 32

    static let saltBounds = 8...64
    static let tagBounds = 16...64
    /// Longer than any string within the bounds above.
    private static let longestText = 256

    package init(
        parameters: Argon2Parameters, salt: [UInt8], tag: [UInt8], pepperVersion: Int16? = nil
    ) throws(PHCStringError) {
        guard Self.saltBounds.contains(salt.count) else { throw .saltLength }
        guard Self.tagBounds.contains(tag.count) else { throw .tagLength }
        self.parameters = parameters
        self.salt = salt
        self.tag = tag
        self.pepperVersion = pepperVersion
    }

    /// What the hasher has just made, of the two lengths above.
    init(parameters: Argon2Parameters, freshSalt: [UInt8], freshTag: [UInt8], pepperVersion: Int16?) {
        self.parameters = parameters
        salt = freshSalt
        tag = freshTag
        self.pepperVersion = pepperVersion
    }

    /// Reads a stored string.
    package init(parsing text: String) throws(PHCStringError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.longestText else { throw .malformed }
        let parts = bytes.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].isEmpty else { throw .malformed }
        guard parts[1].elementsEqual("argon2id".utf8) else { throw .otherAlgorithm }
        guard parts[2].elementsEqual("v=19".utf8) else { throw .otherVersion }

        let costs = parts[3].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard (3...4).contains(costs.count),
            let memory = Self.number(costs[0], after: "m="),
            let iterations = Self.number(costs[1], after: "t="),
            let parallelism = Self.number(costs[2], after: "p=")
        else { throw .malformed }
        let pepperVersion: Int16? = if costs.count == 4 { try Self.version(costs[3]) } else { nil }
        let parameters: Argon2Parameters
        do {
            parameters = try Argon2Parameters(memoryKiB: memory, iterations: iterations, parallelism: parallelism)
        } catch {
            throw .costOutOfBounds
        }
        guard let salt = StandardBase64.decode(parts[4]), let tag = StandardBase64.decode(parts[5]) else {
            throw .malformed
        }
        try self.init(parameters: parameters, salt: salt, tag: tag, pepperVersion: pepperVersion)
    }

    /// The string to store. It is worth as much as the password to who can guess: `description` masks it.
    package var text: String {
        "\(head)$\(StandardBase64.encode(salt))$\(StandardBase64.encode(tag))"
    }

    /// True where the hash is weaker than `settings` would make it now: less memory, fewer passes or lanes, a shorter
    /// salt or tag. A hash that is stronger stays as it is. Another pepper than `pepper` is an upgrade too: the operator has
    /// rotated the master key, or switched peppers on or off.
    package func needsUpgrade(to settings: Argon2Parameters, pepper: Int16? = nil) -> Bool {
        pepperVersion != pepper || parameters.memoryKiB < settings.memoryKiB
            || parameters.iterations < settings.iterations
            || parameters.parallelism < settings.parallelism
            || salt.count < Self.saltLength || tag.count < Self.tagLength
    }

    private var head: String {
        "$argon2id$v=19$m=\(parameters.memoryKiB),t=\(parameters.iterations),p=\(parameters.parallelism)"
            + (pepperVersion.map { Self.keyID($0) } ?? "")
    }

    /// How a hash names the version of its pepper.
    static func keyID(_ version: Int16) -> String {
        ",keyid=\(StandardBase64.encode(withUnsafeBytes(of: version.bigEndian) { Array($0) }))"
    }

    private static func version(_ word: ArraySlice<UInt8>) throws(PHCStringError) -> Int16 {
        guard word.starts(with: "keyid=".utf8), let bytes = StandardBase64.decode(word.dropFirst(6)), bytes.count == 2
        else { throw .malformed }
        let version = Int16(bitPattern: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
        guard version > 0 else { throw .malformed }
        return version
    }

    private static func number(_ bytes: ArraySlice<UInt8>, after prefix: StaticString) -> Int? {
        let digits = bytes.dropFirst(prefix.utf8CodeUnitCount)
        guard bytes.starts(with: "\(prefix)".utf8), (1...9).contains(digits.count),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            digits.count == 1 || digits.first != UInt8(ascii: "0")
        else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    }
}

/// Why a text is no hash that this server takes. Safe to log.
package enum PHCStringError: Error, Sendable, Equatable {
    case malformed
    case otherAlgorithm
    case otherVersion
    case costOutOfBounds
    case saltLength
    case tagLength
}

extension PHCString: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "\(head)$****" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// RFC 4648 §4, without padding and with nothing but canonical tails: PHC's B64.
private enum StandardBase64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text = [UInt8]()
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = (bits << 8 | UInt32(byte)) & 0xFFFF
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count)) & 63]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var bytes = [UInt8]()
        bytes.reserveCapacity(text.count * 3 / 4)
        var bits: UInt32 = 0
        var count = 0
        for character in text {
            guard let value = value(of: character) else { return nil }
            bits = (bits << 6 | value) & 0xFFFF
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        // RFC 4648 §3.5: bits that are left over are zero, or one hash would have several spellings.
        guard bits & ((1 << UInt32(count)) - 1) == 0 else { return nil }
        return bytes
    }

    private static func value(of character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
