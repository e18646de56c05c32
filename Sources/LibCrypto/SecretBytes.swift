import CLibCrypto

/// Bytes that must not outlive their use nor reach a log: on the heap, wiped when the last copy goes, printed as `****`.
///
/// Copies share one allocation, so that there is one place to wipe.
package struct SecretBytes: Sendable {
    private let storage: Storage

    /// Copies `bytes`. The caller's array is not wiped: Swift may have copied it already.
    package init(_ bytes: [UInt8]) {
        self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    /// Makes `count` bytes, zero at first, which `fill` writes.
    init<Failure: Error>(
        count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        storage = Storage(count: count)
        try fill(storage.bytes)
    }

    package var count: Int { storage.bytes.count }

    /// Lends the bytes for the time of the call. The pointer must not leave `body`. Its base address is never nil.
    package func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(storage.bytes))
    }

    // Sendable: written only before the initialiser returns, then read until deinit.
    private final class Storage: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer

        init(count: Int) {
            // At least one byte, so that the base address exists: OpenSSL takes a nil key for "keep the last one".
            let base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 16)
            base.initializeMemory(as: UInt8.self, repeating: 0, count: max(count, 1))
            bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
        }

        deinit {
            // Not a loop of stores: the compiler may drop stores to memory that is freed right after.
            OPENSSL_cleanse(bytes.baseAddress, bytes.count)
            bytes.baseAddress?.deallocate()
        }
    }
}

extension SecretBytes: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "****" }
    package var debugDescription: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Whether both hold the same bytes, in a time that tells nothing of where they differ. Lengths are not secret.
package func constantTimeEquals(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}

extension UnsafeRawBufferPointer {
    /// The bytes as OpenSSL wants them.
    var octets: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawBufferPointer {
    /// The bytes as OpenSSL wants them.
    var octets: UnsafeMutablePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
