internal import CZlib
package import NIOCore

/// gzip (RFC 1952) put together from parts, of which some were compressed before and stand in many answers. With
/// `CompressedList` one of the two rooms that see zlib; no pointer leaves it.
package enum Gzip {
    /// A run of deflate's blocks (RFC 1951): ends at an octet's end, has no final block, and refers to nothing before it,
    /// so that it may stand behind any other.
    package struct Part: Sendable {
        package fileprivate(set) var blocks: ByteBuffer
        fileprivate var crc: UInt32
        /// Octets before they were compressed.
        fileprivate var count: Int
    }

    /// Compresses at zlib's fastest: what is sent here is mostly random, and a better level gains a fiftieth of it for twice
    /// the time. Takes some 10 ms for each MiB: not on a thread that others share.
    ///
    /// - Parameter bytes: at most a GiB.
    /// - Returns: nil where zlib has no memory.
    package static func compress(_ bytes: ByteBuffer) -> Part? {
        precondition(bytes.readableBytes <= 1 << 30, "zlib counts in 32 bits")
        var stream = z_stream()
        guard latchkey_deflate_init(&stream, Z_BEST_SPEED) == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        // What it says is for one flush at the end; each of more costs a few octets.
        let bound = Int(deflateBound(&stream, UInt(bytes.readableBytes))) + 64
        var blocks = ByteBuffer()
        var crc: UInt32 = 0
        let isWhole = bytes.withUnsafeReadableBytes { input in
            crc = checksum(input)
            // zlib never writes through next_in; its header lacks the const.
            stream.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
            stream.avail_in = UInt32(input.count)
            blocks.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { output in
                stream.next_out = output.bindMemory(to: UInt8.self).baseAddress
                stream.avail_out = UInt32(bound)
                _ = deflate(&stream, Z_FULL_FLUSH)
                return bound - Int(stream.avail_out)
            }
            return stream.avail_in == 0 && stream.avail_out > 0
        }
        return isWhole ? Part(blocks: blocks, crc: crc, count: bytes.readableBytes) : nil
    }

    /// The same form for what is sent once: stored as it is (RFC 1951 §3.2.4).
    package static func store(_ bytes: [UInt8]) -> Part {
        var blocks = ByteBuffer()
        for start in stride(from: 0, to: bytes.count, by: 0xffff) {
            let piece = bytes[start..<min(start + 0xffff, bytes.count)]
            let length = UInt16(piece.count)
            blocks.writeInteger(UInt8(0))
            blocks.writeInteger(length, endianness: .little)
            blocks.writeInteger(~length, endianness: .little)
            blocks.writeBytes(piece)
        }
        return Part(blocks: blocks, crc: bytes.withUnsafeBytes { checksum($0) }, count: bytes.count)
    }

    /// One member with these parts in their order, in buffers that share theirs.
    package static func member(_ parts: [Part]) -> [ByteBuffer] {
        // ID1 ID2, CM 8, no flags, no time, XFL 0, OS unknown.
        let head = ByteBuffer(bytes: [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
        var crc = crc32(0, nil, 0)
        var count: UInt32 = 0
        for part in parts {
            crc = crc32_combine(crc, UInt(part.crc), part.count)
            count &+= UInt32(truncatingIfNeeded: part.count)
        }
        // A final block that is empty; then the trailer.
        var end = ByteBuffer(bytes: [3, 0])
        end.writeInteger(UInt32(truncatingIfNeeded: crc), endianness: .little)
        end.writeInteger(count, endianness: .little)
        return [head] + parts.map(\.blocks) + [end]
    }

    private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        // An empty buffer's nil asks zlib for the value to begin with: that of no octets.
        UInt32(truncatingIfNeeded: crc32(0, bytes.bindMemory(to: UInt8.self).baseAddress, UInt32(bytes.count)))
    }
}
