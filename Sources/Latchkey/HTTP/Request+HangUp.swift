internal import HTTPTypes
package import Hummingbird
internal import NIOCore

extension Request {
    /// Reads the body, then runs `operation`, whose task is cancelled as soon as the caller hangs up: for what is dear
    /// or waits long. A caller that shuts down only its sending half has hung up too.
    ///
    /// The connection goes on: it is watched by its `ConnectionGate`, not by reading on. (Hummingbird 2.28.1's
    /// `consumeWithCancellationOnInboundClose` takes what comes next off the connection, which must close then: in a
    /// storm of log ins every 429 and 503 would cost its caller a connection.)
    ///
    /// - Parameters:
    ///   - context: knows the connection.
    ///   - limit: in bytes.
    ///   - admit: asked before any task is made: what it throws in a flood costs little more than the reading.
    ///   - operation: gets this request with its body in memory.
    /// - Throws: `Rejection.bodyTooLarge`, `CancellationError` where the caller has gone, what `admit` and `operation` throw.
    package func whileCallerWaits(
        on context: LatchkeyRequestContext, limit: Int = JSONBody.defaultLimit, admit: () throws -> Void = {},
        _ operation: @escaping @Sendable (Request) async throws -> Response
    ) async throws -> Response {
        // A body that says itself that it is too long is not waited for.
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw Rejection.bodyTooLarge(limit: limit)
        }
        var read = self
        do {
            _ = try await read.collectBody(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw Rejection.bodyTooLarge(limit: limit)
        }
        try admit()
        let request = read
        let task = Task { try await operation(request) }
        let channel = context.channel
        channel.eventLoop.execute {
            if let gate = try? channel.pipeline.syncOperations.handler(type: ConnectionGate.self) {
                gate.watchCaller { task.cancel() }
            } else {
                // Gone with its connection; or there never was one, where a test asks a router alone.
                channel.closeFuture.whenComplete { _ in task.cancel() }
            }
        }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
