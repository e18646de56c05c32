internal import HTTPTypes
package import Hummingbird
internal import NIOCore

extension Request {
    /// Reads the body, then runs `operation`, whose task is cancelled as soon as the caller hangs up: for what is dear
    /// or waits long.
    ///
    /// The connection serves no further request after it, because watching it takes what comes next: the answer says
    /// `Connection: close`, one made of a thrown error too (`ClosingError`). A caller that shuts down only its
    /// sending half has hung up too.
    ///
    /// - Parameters:
    ///   - limit: in bytes.
    ///   - operation: gets this request with its body in memory.
    /// - Throws: `Rejection.bodyTooLarge`, `CancellationError` where the caller has gone, what `operation` throws.
    package func whileCallerWaits(
        limit: Int = JSONBody.defaultLimit, _ operation: (Request) async throws -> Response
    ) async throws -> Response {
        // A body that says itself that it is too long is not waited for.
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw Rejection.bodyTooLarge(limit: limit)
        }
        // The whole body first, and into the request: Hummingbird 2.28.1 hangs for good where the operation ends before
        // a long body was read, and ends the process where the body was read past the request. Callers choose both.
        var read = self
        do {
            _ = try await read.collectBody(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw Rejection.bodyTooLarge(limit: limit)
        }
        let request = read
        var response: Response
        do {
            response = try await request.body.consumeWithCancellationOnInboundClose { _ in
                try await operation(request)
            }
        } catch {
            throw ClosingError(underlying: error)
        }
        response.headers[.connection] = "close"
        return response
    }
}

/// What an operation threw whose connection serves no further request: `ErrorMiddleware` gives `underlying` its face and
/// says `Connection: close`, or a client would send its next request into a closed connection.
struct ClosingError: Error {
    let underlying: any Error
}
