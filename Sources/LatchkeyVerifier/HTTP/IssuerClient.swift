internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// What went wrong between the issuer and here. Holds nothing of an answer: safe to log, and to count by `label`.
enum FetchFailure: Error, Equatable, CustomStringConvertible {
    case status(UInt)
    case tooLarge
    /// Nothing came for longer than it may take.
    case silent
    /// A stream came to its end.
    case ended
    /// It came, and is not what it should be.
    case malformed(String)

    var description: String {
        switch self {
        case .status(let code): "answered \(code)"
        case .tooLarge: "an answer beyond its limit"
        case .silent: "no answer in time"
        case .ended: "the stream ended"
        case .malformed(let what): what
        }
    }
}

/// Asks the issuer. Follows no redirect (it could lead away from https, or to a host that nobody chose), speaks
/// HTTP/1.1 (a stream that stands still must not hold up other answers on its connection), reads no answer without a
/// limit.
struct IssuerClient: Sendable {
    struct Answer: Sendable {
        let status: UInt
        let headers: HTTPHeaders
        let body: [UInt8]
    }

    private let client: HTTPClient

    /// Connects on NIO's shared threads. `close` it.
    init() {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: .seconds(3)))
        configuration.httpVersion = .http1Only
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    func close() async {
        // Its only errors are that it was closed before, or that a request was under way: then that one ends, too.
        try? await client.shutdown()
    }

    /// One answer as a whole.
    /// - Parameters:
    ///   - limit: of the body, in bytes.
    ///   - patience: from the first byte sent to the last received.
    func get(
        _ url: String, headers: [(String, String)], limit: Int, within patience: Duration
    ) async throws -> Answer {
        try await Self.within(patience) {
            let response = try await client.execute(Self.request(url, headers), deadline: .distantFuture)
            var body: [UInt8] = []
            for try await piece in response.body {
                guard body.count + piece.readableBytes <= limit else { throw FetchFailure.tooLarge }
                body += piece.readableBytesView
            }
            // A cancelled task sees the body end as if it were complete.
            try Task.checkCancellation()
            return Answer(status: UInt(response.status.code), headers: response.headers, body: body)
        }
    }

    /// Reads an answer piece by piece, for as long as pieces come.
    /// - Parameters:
    ///   - silence: how long nothing may come, the head included.
    ///   - read: given the head and the pieces; what it leaves unread is dropped with the connection.
    func stream<Result: Sendable>(
        _ url: String, headers: [(String, String)], silence: Duration,
        read: @escaping @Sendable (UInt, HTTPHeaders, Pieces) async throws -> Result
    ) async throws -> Result {
        let heard = LastHeard()
        return try await withThrowingTaskGroup(of: Result.self) { group in
            group.addTask {
                let response = try await client.execute(Self.request(url, headers), deadline: .distantFuture)
                heard.something()
                return try await read(
                    UInt(response.status.code), response.headers, Pieces(body: response.body, heard: heard))
            }
            group.addTask {
                while true {
                    let end = heard.at + silence
                    guard end > .now else { throw FetchFailure.silent }
                    try await Task.sleep(until: end, clock: .continuous)
                }
            }
            defer { group.cancelAll() }
            guard let result = try await group.next() else { throw FetchFailure.silent }
            return result
        }
    }

    /// When something was last heard.
    final class LastHeard: Sendable {
        private let instant = Mutex(ContinuousClock.now)

        var at: ContinuousClock.Instant { instant.withLock { $0 } }

        func something() { instant.withLock { $0 = .now } }
    }

    /// The pieces of an answer's body.
    struct Pieces: AsyncSequence, Sendable {
        let body: HTTPClientResponse.Body
        let heard: LastHeard

        struct AsyncIterator: AsyncIteratorProtocol {
            var base: HTTPClientResponse.Body.AsyncIterator
            let heard: LastHeard

            mutating func next() async throws -> [UInt8]? {
                // What was done with the last piece is not the sender's silence.
                heard.something()
                guard let piece = try await base.next() else {
                    // A cancelled task sees the body end as if it were complete.
                    try Task.checkCancellation()
                    return nil
                }
                return Array(piece.readableBytesView)
            }
        }

        func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(base: body.makeAsyncIterator(), heard: heard)
        }
    }

    private static func request(_ url: String, _ headers: [(String, String)]) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        // No compression is asked for: random ids do not shrink, and what does not unpack cannot be a bomb.
        request.headers = HTTPHeaders(headers + [("user-agent", "latchkey-verifier")])
        return request
    }

    private static func within<Result: Sendable>(
        _ patience: Duration, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result.self) { group in
            group.addTask(operation: body)
            group.addTask {
                try await Task.sleep(for: patience)
                throw FetchFailure.silent
            }
            defer { group.cancelAll() }
            guard let result = try await group.next() else { throw FetchFailure.silent }
            return result
        }
    }
}
