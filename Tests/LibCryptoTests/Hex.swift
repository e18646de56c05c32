import LibCrypto

extension [UInt8] {
    /// The bytes that `hex` writes; traps on a slip of the pen.
    init(hex: String) {
        let digits = hex.utf8.map { UInt8(Character(Unicode.Scalar($0)).hexDigitValue ?? 255) }
        precondition(digits.count % 2 == 0 && !digits.contains(255), "not hexadecimal")
        self = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

extension SecretBytes {
    init(hex: String) { self.init([UInt8](hex: hex)) }

    var revealed: [UInt8] { withBytes { [UInt8]($0) } }
}
