import NIOCore
import NIOPosix
import Synchronization

/// A caller that sends bytes as they are, and reads or does not.
package final class RawCaller: Sendable {
    private let channel: any Channel
    private let inbox: Inbox

    package enum Reading: Sendable { case always, never }

    private init(_ channel: any Channel, _ inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// - Parameter reading: `never`: the socket's buffers fill up.
    package static func connect(port: Int, reading: Reading = .always) async throws -> RawCaller {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reading == .always)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(inbox))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawCaller(channel, inbox)
    }

    /// Nothing is said of a peer that has closed: what it answered counts.
    package func send(_ bytes: some Sequence<UInt8>) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    package func send(_ text: String) { send(text.utf8) }

    package func endSending() {
        channel.close(mode: .output, promise: nil)
    }

    package func close() async {
        channel.close(promise: nil)
        try? await channel.closeFuture.get()
    }

    package var received: [UInt8] { inbox.bytes.withLock { $0 } }

    package var answers: [RawAnswer] { RawAnswer.all(in: received) }

    /// Whether the peer has closed, or reset, the connection.
    package var isClosed: Bool { !channel.isActive }

    /// - Returns: the first answers, fewer where no more came in time or the connection ended.
    package func answers(_ count: Int, within limit: Duration = .seconds(15)) async -> [RawAnswer] {
        _ = await becomesTrue(within: limit) { answers.count >= count || isClosed }
        return Array(answers.prefix(count))
    }

    package func closes(within limit: Duration = .seconds(15)) async -> Bool {
        await becomesTrue(within: limit) { isClosed }
    }
}

/// An answer as it stood on the wire. 1xx answers count as answers.
package struct RawAnswer: Sendable {
    package let status: Int
    /// Names in small letters.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The whole answers at the beginning of these bytes, each with a Content-Length or without a body.
    static func all(in bytes: [UInt8]) -> [RawAnswer] {
        var found: [RawAnswer] = []
        var rest = bytes[...]
        while let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) {
            let lines = String(decoding: rest[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
            guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { break }
            let headers = lines.dropFirst().map { line in
                let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
                return (
                    name: parts[0].lowercased(),
                    value: parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
                )
            }
            let length = headers.first { $0.name == "content-length" }.flatMap { Int($0.value) } ?? 0
            let body = rest[end.upperBound...].prefix(length)
            guard body.count == length else { break }
            found.append(RawAnswer(status: status, headers: headers, body: Array(body)))
            rest = rest[body.endIndex...]
        }
        return found
    }
}

private final class Inbox: Sendable {
    let bytes = Mutex<[UInt8]>([])
}

private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let inbox: Inbox

    init(_ inbox: Inbox) {
        self.inbox = inbox
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        inbox.bytes.withLock { $0.append(contentsOf: buffer.readableBytesView) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
