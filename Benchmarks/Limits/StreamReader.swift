import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A reader of a node's revocation stream that notes when which position came, and does nothing else: fifty of them on
/// the node's own cores must not be what is measured. (Verifiers run elsewhere, each on a machine of its own.)
final class StreamReader: Sendable {
    /// Where the list's numbers stood at which instant, both rising.
    private let heard = Mutex<[(seq: Int64, at: ContinuousClock.Instant)]>([])
    private let ended = Atomic(false)
    private let channel: any Channel

    private init(_ channel: any Channel) {
        self.channel = channel
    }

    /// - Parameter position: to go on from.
    static func connect(host: String, port: Int, from position: String) async throws -> StreamReader {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHTTPClientHandlers() }
            }
            .connect(host: host, port: port).get()
        let reader = StreamReader(channel)
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(Ear(reader))
        }.get()
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: "/revocations/stream",
            headers: ["host": "bench", "last-event-id": position])
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        try await channel.writeAndFlush(HTTPClientRequestPart.end(nil)).get()
        return reader
    }

    /// nil while it has not come.
    func instant(of seq: Int64) -> ContinuousClock.Instant? {
        heard.withLock { heard in
            var (low, high) = (0, heard.count)
            while low < high {
                let middle = (low + high) / 2
                if heard[middle].seq < seq { low = middle + 1 } else { high = middle }
            }
            return low < heard.count ? heard[low].at : nil
        }
    }

    var position: Int64? { heard.withLock { $0.last?.seq } }
    var hasEnded: Bool { ended.load(ordering: .relaxed) }

    func close() async { try? await channel.close().get() }

    fileprivate func hear(_ seq: Int64) {
        heard.withLock { heard in if seq > heard.last?.seq ?? -1 { heard.append((seq, .now)) } }
    }

    /// Looks for lines that begin with `id: `; a line may come in pieces.
    private final class Ear: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart
        private let reader: StreamReader
        private var line: [UInt8] = []

        init(_ reader: StreamReader) {
            self.reader = reader
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .body(let buffer) = unwrapInboundIn(data) else { return }
            var rest = buffer.readableBytesView
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                take(rest[..<end])
                rest = rest[(end + 1)...]
            }
            // Nobody needs more of a line than a position is long.
            line += rest.prefix(max(0, 128 - line.count))
        }

        private func take(_ end: ByteBufferView) {
            defer { line.removeAll(keepingCapacity: true) }
            let bytes = line + end.prefix(128)
            guard bytes.starts(with: "id: ".utf8) else { return }
            let parts = bytes.split(separator: UInt8(ascii: "."))
            guard parts.count == 3, let seq = Int64(String(decoding: parts[1], as: UTF8.self)) else { return }
            reader.hear(seq)
        }

        func channelInactive(context: ChannelHandlerContext) { reader.ended.store(true, ordering: .relaxed) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
