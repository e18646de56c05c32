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

    /// Short ones in one buffer; of a long one no more than a piece at a time.
    var body: ResponseBody {
        let (start, end) = (form.start(signed), form.end(signed))
        if let entries = encoded ?? short {
            var buffer = ByteBuffer(bytes: start)
            buffer.writeImmutableBuffer(entries)
            buffer.writeBytes(end)
            return ResponseBody(byteBuffer: buffer)
        }
        return ResponseBody { writer in
            try await write(to: &writer)
            try await writer.finish(nil)
        }
    }

    func write(to writer: inout any ResponseBodyWriter) async throws {
        try await writer.write(ByteBuffer(bytes: form.start(signed)))
        var place = FeedForm.Place.first
        for piece in entries.pieces {
            try await writer.write(ByteBuffer(bytes: form.piece(piece, place)))
            place = .further
        }
        try await writer.write(ByteBuffer(bytes: form.end(signed)))
    }

    private var short: ByteBuffer? { entries.count <= 1024 ? FeedLists.encode(entries, form) : nil }
}
