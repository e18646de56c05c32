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
    var body: ResponseBody {
        if let whole = short { return ResponseBody(byteBuffer: whole) }
        if let buffers { return ResponseBody(contentsOf: buffers) }
        return ResponseBody { writer in
            try await write(to: &writer)
            try await writer.finish(nil)
        }
    }

    /// Octets of a long message that are written at once.
    private static let mostAtOnce = 128 << 10

    func write(to writer: inout any ResponseBodyWriter) async throws {
        var buffer = ByteBuffer(bytes: form.start(signed))
        var place = FeedForm.Place.first
        for piece in entries.pieces {
            buffer.writeBytes(form.piece(piece, place))
            place = .further
            guard buffer.readableBytes >= Self.mostAtOnce else { continue }
            try await writer.write(buffer)
            buffer = ByteBuffer()
        }
        buffer.writeBytes(form.end(signed))
        try await writer.write(buffer)
    }

    /// What is new in each message is short, and mostly a signature: stored as it is.
    private var buffers: [ByteBuffer]? {
        let (start, end) = (form.start(signed), form.end(signed))
        if let compressed { return Gzip.member([Gzip.store(start), compressed, Gzip.store(end)]) }
        return encoded.map { [ByteBuffer(bytes: start), $0, ByteBuffer(bytes: end)] }
    }

    private var short: ByteBuffer? {
        guard compressed == nil, entries.count <= 1024 else { return nil }
        var buffer = ByteBuffer(bytes: form.start(signed))
        buffer.writeImmutableBuffer(encoded ?? FeedLists.encode(entries, form))
        buffer.writeBytes(form.end(signed))
        return buffer
    }
}
