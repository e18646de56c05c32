import HTTPTypes
import Hummingbird
import NIOCore

/// One message as an answer: what stands before its entries, they, and what stands behind them.
struct FeedAnswer: Sendable {
    let form: FeedForm
    let signed: FeedMessage.Signed
    let entries: FeedMessage.Entries
    /// The encoded entries, where somebody has them.
    var encoded: ByteBuffer?
    /// The same compressed, where the answer is.
    var compressed: Gzip.Part?

    var coding: FeedCoding { compressed == nil ? .identity : .gzip }

    /// What tells a cache which spelling of the message this is.
    static func fields(_ form: FeedForm, _ coding: FeedCoding, cacheControl: String) -> HTTPFields {
        var fields: HTTPFields = [
            .contentType: form.contentType, .vary: "Accept, Accept-Encoding", .cacheControl: cacheControl,
        ]
        if coding == .gzip { fields[.contentEncoding] = coding.rawValue }
        return fields
    }

    /// For a reader who takes gzip, where it is worth it.
    mutating func compress(_ compression: FeedCompression) async {
        compressed = await compression.part(of: entries, form, encoded: encoded)
    }

    /// Short ones in one buffer; what is kept encoded is not copied; of a long one no more than a piece at a time.
    ///
    /// - Parameter places: a long one takes one until it is written.
    /// - Throws: `Rejection.overloaded` where there is none.
    func body(_ places: FeedPlaces) throws -> ResponseBody {
        if let whole = short { return ResponseBody(byteBuffer: whole) }
        let place = isLong ? places.take() : nil
        guard place != nil || !isLong else { throw Rejection.overloaded(retryAfter: 1) }
        guard let buffers else {
            return ResponseBody { writer in
                try await write(to: &writer)
                withExtendedLifetime(place) {}
                try await writer.finish(nil)
            }
        }
        let length = buffers.reduce(0) { $0 + $1.readableBytes }
        return ResponseBody(contentLength: length) { writer in
            let end = Self.end(octets: length)
            for var rest in buffers {
                while rest.readableBytes > 0,
                    let part = rest.readSlice(length: min(rest.readableBytes, Self.mostAtOnce))
                {
                    try await Self.write(part, to: &writer, until: end)
                }
            }
            withExtendedLifetime(place) {}
            try await writer.finish(nil)
        }
    }

    /// Octets of a long message that are written at once.
    private static let mostAtOnce = 128 << 10

    func write(to writer: inout any ResponseBodyWriter) async throws {
        let end = Self.end(octets: entries.count * 80)
        var buffer = ByteBuffer(bytes: form.start(signed))
        var place = FeedForm.Place.first
        for piece in entries.pieces {
            buffer.writeBytes(form.piece(piece, place))
            place = .further
            guard buffer.readableBytes >= Self.mostAtOnce else { continue }
            try await Self.write(buffer, to: &writer, until: end)
            buffer = ByteBuffer()
        }
        buffer.writeBytes(form.end(signed))
        try await Self.write(buffer, to: &writer, until: end)
    }

    /// Who takes a list so slowly that it is another one by then keeps the old one in memory: it is cut off.
    private struct SlowReader: Error {}

    /// Half a minute, and a second for each 64 KiB.
    private static func end(octets: Int) -> BootInstant {
        BootInstant.now().advanced(by: 30_000_000_000 + Int64(octets >> 16) * 1_000_000_000)
    }

    private static func write(
        _ part: ByteBuffer, to writer: inout any ResponseBodyWriter, until end: BootInstant
    ) async throws {
        guard BootInstant.now() < end else { throw SlowReader() }
        try await writer.write(part)
    }

    /// What is new in each message is short, and mostly a signature: stored as it is.
    private var buffers: [ByteBuffer]? {
        let (start, end) = (form.start(signed), form.end(signed))
        if let compressed { return Gzip.member([Gzip.store(start), compressed, Gzip.store(end)]) }
        return encoded.map { [ByteBuffer(bytes: start), $0, ByteBuffer(bytes: end)] }
    }

    private var isLong: Bool { entries.count > 1024 }

    private var short: ByteBuffer? {
        guard compressed == nil, !isLong else { return nil }
        var buffer = ByteBuffer(bytes: form.start(signed))
        buffer.writeImmutableBuffer(encoded ?? FeedLists.encode(entries, form))
        buffer.writeBytes(form.end(signed))
        return buffer
    }
}
