internal import Hummingbird
internal import NIOCore

/// Carries the body of a request to the client that asks the service, and reads it to its end in any case.
///
/// The client reads on in a task of its own when the service has answered early, and nobody can wait for that one. Were it
/// given the body itself, it and Hummingbird, which then looks for the next request, would read one connection at the same
/// time, and the process would end: any caller could do that.
struct BodyPump: Sendable {
    /// For the client.
    let body: HandedBody
    private let handover = Handover()
    private let task: Task<Void, Never>

    init(_ source: RequestBody) {
        body = HandedBody(handover: handover)
        // Joined by the end of the answer. Where there is none the connection is gone, and with it the source ends.
        task = Task { [handover] in
            do {
                for try await piece in source { await handover.offer(piece) }
                try Task.checkCancellation()
                handover.end(nil)
            } catch {
                // A half body must not look like a whole one to the service.
                handover.end(error)
            }
        }
    }

    /// The answer, after whose end nothing reads the request's body any more.
    func joined(to response: Response) -> Response {
        var headers = response.headers
        if response.body.contentLength == nil { headers[.contentLength] = nil }
        let (status, body, task, handover) = (response.status, response.body, task, handover)
        return Response(
            status: status, headers: headers,
            body: ResponseBody(contentLength: body.contentLength) { writer in
                do {
                    try await body.write(writer)
                } catch {
                    handover.abandon()
                    throw error
                }
                // The client sends nothing more behind such an answer, and would not say that it does not.
                if status.code >= 300 { handover.abandon() }
                await task.value
            })
    }
}

/// The pieces of a body as the client takes them.
struct HandedBody: AsyncSequence, Sendable {
    let handover: Handover

    struct AsyncIterator: AsyncIteratorProtocol {
        private let reader: Reader

        fileprivate init(_ handover: Handover) {
            reader = Reader(handover: handover)
        }

        mutating func next() async throws -> ByteBuffer? { try await reader.handover.take() }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(handover) }

    /// Who has stopped taking has given up.
    private final class Reader: Sendable {
        let handover: Handover

        init(handover: Handover) {
            self.handover = handover
        }

        deinit {
            handover.abandon()
        }
    }
}
