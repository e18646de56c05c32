import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A service behind a proxy, on a port of loopback: remembers what reached it, and answers as the path says.
final class EchoService: Sendable {
    struct Seen: Sendable {
        let method: String
        let target: String
        let fields: [(name: String, value: String)]
        var body: [UInt8] = []
        /// Whether the request's end came.
        var isWhole = false

        /// Every value of a field, in order.
        subscript(name: String) -> [String] {
            fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        }
    }

    private let requests = Mutex<[Seen]>([])
    private let channel: Mutex<(any Channel)?> = Mutex(nil)

    var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }
    var seen: [Seen] { requests.withLock { $0 } }

    /// Runs `body` with a service, and ends it.
    static func run(_ body: (EchoService) async throws -> Void) async throws {
        let service = EchoService()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try channel.pipeline.syncOperations.addHandler(EchoHandler(service))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        service.channel.withLock { $0 = channel }
        let result: Result<Void, any Error>
        do { result = .success(try await body(service)) } catch { result = .failure(error) }
        try await channel.close()
        try result.get()
    }

    /// - Returns: the number of the request.
    fileprivate func begin(_ head: HTTPRequestHead) -> Int {
        requests.withLock { requests in
            requests.append(
                Seen(method: head.method.rawValue, target: head.uri, fields: head.headers.map { ($0.name, $0.value) }))
            return requests.count - 1
        }
    }

    fileprivate func change(_ number: Int, _ change: (inout Seen) -> Void) {
        requests.withLock { change(&$0[number]) }
    }
}

private final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let service: EchoService
    private var number = 0
    private var path = ""
    private var isHead = false
    private var isAnswered = false

    init(_ service: EchoService) {
        self.service = service
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            number = service.begin(head)
            path = String(head.uri.prefix { $0 != "?" })
            isHead = head.method == .HEAD
            isAnswered = false
            if path == "/early" {
                answer(context, .payloadTooLarge, [("Content-Length", "0")], [])
            } else if path == "/stream" {
                write(context, .head(.init(version: .http1_1, status: .ok, headers: ["Transfer-Encoding": "chunked"])))
                context.flush()
            }
        case .body(let piece):
            service.change(number) { $0.body += piece.readableBytesView }
            if path == "/stream" {
                write(context, .body(.byteBuffer(piece)))
                context.flush()
            }
        case .end:
            service.change(number) { $0.isWhole = true }
            if !isAnswered { end(context) }
        }
    }

    private func end(_ context: ChannelHandlerContext) {
        switch path {
        case "/silent": return
        case "/hang-up": context.close(promise: nil)
        case "/stream":
            write(context, .end(nil))
            context.flush()
        case "/cut":
            write(context, .head(.init(version: .http1_1, status: .ok, headers: ["Content-Length": "1000"])))
            write(context, .body(.byteBuffer(ByteBuffer(string: "half a word"))))
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer()))), promise: nil)
            context.close(promise: nil)
        case "/cut-chunks":
            write(context, .head(.init(version: .http1_1, status: .ok, headers: ["Transfer-Encoding": "chunked"])))
            context.writeAndFlush(
                wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "half a word")))), promise: nil)
            context.close(promise: nil)
        case "/fields":
            answer(
                context, .ok,
                [
                    ("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"),
                    ("Proxy-Authenticate", "Basic"), ("X-Public", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
                    ("Content-Length", "2"),
                ], Array("ok".utf8))
        case "/large":
            write(context, .head(.init(version: .http1_1, status: .ok, headers: ["Transfer-Encoding": "chunked"])))
            for _ in 0..<128 {
                write(context, .body(.byteBuffer(ByteBuffer(repeating: UInt8(ascii: "x"), count: 16_384))))
            }
            write(context, .end(nil))
            context.flush()
        case "/nothing": answer(context, .noContent, [], [])
        default: answer(context, .ok, [("Content-Length", "2")], Array("ok".utf8))
        }
    }

    private func answer(
        _ context: ChannelHandlerContext, _ status: HTTPResponseStatus, _ fields: [(String, String)], _ body: [UInt8]
    ) {
        isAnswered = true
        write(context, .head(.init(version: .http1_1, status: status, headers: HTTPHeaders(fields))))
        if !body.isEmpty, !isHead { write(context, .body(.byteBuffer(ByteBuffer(bytes: body)))) }
        write(context, .end(nil))
        context.flush()
    }

    private func write(_ context: ChannelHandlerContext, _ part: HTTPServerResponsePart) {
        context.write(wrapOutboundOut(part), promise: nil)
    }
}
