import CZlib
import JOSE

/// A status list of one bit for each token (draft-ietf-oauth-status-list §4.1): the bits, the lowest of a byte first,
/// compressed with DEFLATE in the ZLIB format. With `Gzip` one of the two rooms that see zlib.
enum CompressedList {
    /// Set bits up to which the best compression is worth its time: some ms. With a hundred thousand it takes a tenth of
    /// a second and saves two of a hundred bytes.
    private static let mostBest = 4096

    /// `lst`, of a list of `size` bits, a multiple of 8, in which those at `indices`, all below it, are set.
    static func text(_ indices: [UInt32], size: UInt32 = StatusIndex.listSize) -> String {
        var bytes = [UInt8](repeating: 0, count: Int(size / 8))
        for index in indices { bytes[Int(index / 8)] |= 1 << (index % 8) }
        return Base64URL.encode(compressed(bytes, level: indices.count <= mostBest ? Z_BEST_COMPRESSION : 6))
    }

    private static func compressed(_ bytes: [UInt8], level: Int32) -> [UInt8] {
        let most = Int(compressBound(UInt(bytes.count)))
        return [UInt8](unsafeUninitializedCapacity: most) { buffer, count in
            var length = UInt(most)
            let done = compress2(buffer.baseAddress, &length, bytes, UInt(bytes.count), level)
            // The buffer is large enough and the level known: only a lack of memory fails here.
            precondition(done == Z_OK, "zlib failed")
            count = Int(length)
        }
    }
}
