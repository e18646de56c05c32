internal import HTTPTypes
package import Hummingbird

extension Request {
    /// Runs `operation`, whose task is cancelled as soon as the caller hangs up: for what is dear or waits long.
    ///
    /// The connection serves no further request after it, because watching it takes what comes next: the answer says
    /// `Connection: close` (one made of a thrown error closes without saying so). A caller that shuts down only its
    /// sending half has hung up too.
    ///
    /// - Parameter operation: reads the body from what it is given. The request's own body must not have been read
    ///   before: Hummingbird 2.28.1 would wait for its end once more, and end the process when the caller hangs up.
    package func whileCallerWaits(
        _ operation: (RequestBody) async throws -> Response
    ) async throws -> Response {
        var response = try await body.consumeWithCancellationOnInboundClose(operation)
        response.headers[.connection] = "close"
        return response
    }
}
