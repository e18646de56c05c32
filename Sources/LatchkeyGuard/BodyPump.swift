internal import Hummingbird
internal import NIOCore

/// Carries the body of a request to the client that asks the service, and reads it to its end in any case.
///
/// The client reads on in a task of its own when the service has answered early, and nobody can wait for that one. Were it
/// given the body itself, it and Hummingbird, which then looks for the next request, would read one connection at the same
/// time, and the process would end: any caller could do that.
struct BodyPump: Sendable {
    /// For the client.
    let body: RequestBody
    private let task: Task<Void, Never>

    init(_ source: RequestBody) {
        let (body, sink) = RequestBody.makeStream()
        self.body = body
        // Joined by the end of the answer. Where there is none the connection is gone, and with it the source ends.
        task = Task {
            do {
                // What nobody wants any more is dropped by the sink.
                for try await piece in source { await sink.yield(piece) }
                try Task.checkCancellation()
                sink.finish()
            } catch {
                // A half body must not look like a whole one to the service.
                sink.finish(error)
            }
        }
    }

    /// The answer, after whose end nothing reads the request's body any more.
    func joined(to response: Response) -> Response {
        var headers = response.headers
        if response.body.contentLength == nil { headers[.contentLength] = nil }
        let (body, task) = (response.body, task)
        return Response(
            status: response.status, headers: headers,
            body: ResponseBody(contentLength: body.contentLength) { writer in
                try await body.write(writer)
                await task.value
            })
    }
}
