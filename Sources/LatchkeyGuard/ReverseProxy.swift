internal import AsyncHTTPClient
internal import HTTPTypes
internal import Hummingbird
internal import LatchkeyHummingbird
internal import LatchkeyVerifier
internal import Logging
internal import NIOCore
internal import NIOHTTP1

/// Stands before one service: verifies, then hands the request on and the answer back, both as streams. Nothing of a
/// request reaches the service before its token was verified.
struct ReverseProxy: Sendable {
    private let verify: @Sendable (String) async throws -> AccessToken
    private let requirement: Requirement
    private let authorization: GuardSettings.AuthorizationField
    private let upstream: Upstream
    private let client: HTTPClient
    private let counts: GuardCounts

    init(
        to upstream: Upstream, over client: HTTPClient, requirement: Requirement,
        authorization: GuardSettings.AuthorizationField, counts: GuardCounts,
        _ verify: @escaping @Sendable (String) async throws -> AccessToken
    ) {
        self.verify = verify
        self.requirement = requirement
        self.authorization = authorization
        self.upstream = upstream
        self.client = client
        self.counts = counts
    }

    /// The client that asks the service: no redirect is followed, nothing unpacked, nobody's cookie kept.
    /// - Parameter silence: how long the service may say nothing.
    static func makeClient(silence: Duration) -> HTTPClient {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(3), read: .nanoseconds(silence.components.seconds * 1_000_000_000)))
        configuration.httpVersion = .http1Only
        // A connection that the service is about to close answers the next request with its end: many keep one for five
        // seconds, some for two.
        configuration.connectionPool.idleTimeout = .milliseconds(1500)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1024
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// - Throws: `BearerFailure`, `Refusal`.
    func respond(to request: Request, context: GuardContext) async throws -> Response {
        try await BearerMiddleware(scopes: requirement.scopes, roles: requirement.roles, verify)
            .handle(request, context: context) { request, context in
                guard let token = context.accessToken else { throw BearerFailure.missing }
                return try await forward(request, IdentityFields(token), context)
            }
    }

    private func forward(
        _ request: Request, _ identity: IdentityFields, _ context: GuardContext
    ) async throws -> Response {
        // TRACE would show the caller what the guard has added; CONNECT is no service's.
        guard let address = upstream.address(of: request.head.path ?? ""), request.method != .trace,
            request.method != .connect
        else { throw Refusal.notForwarded }
        var question = HTTPClientRequest(url: address)
        question.method = HTTPMethod(rawValue: request.method.rawValue)
        question.headers = ForwardedFields.request(
            request.head, identity: identity, authorization: authorization, caller: context.remoteAddress)
        guard let length = Self.length(of: request) else { return try await answered(question, to: request, context) }
        let pump = BodyPump(request.body)
        question.body = .stream(pump.body, length: length)
        do throws(Refusal) {
            return pump.joined(to: try await answered(question, to: request, context))
        } catch {
            return pump.joined(to: error.response)
        }
    }

    /// Nil where there is no body.
    private static func length(of request: Request) -> HTTPClientRequest.Body.Length? {
        if let length = request.headers[.contentLength].flatMap({ Int64($0) }) {
            return length > 0 ? .known(length) : nil
        }
        return request.headers.contains(.transferEncoding) ? .unknown : nil
    }

    private func answered(
        _ question: HTTPClientRequest, to request: Request, _ context: GuardContext
    ) async throws(Refusal) -> Response {
        do {
            let answer = try await ask(question)
            // An upgrade that nobody asked for.
            guard answer.status.code >= 200 else { throw Refusal.badGateway }
            counts.upstream(.answered)
            return response(answer, to: request)
        } catch {
            let isLate = Self.isLate(error)
            counts.upstream(isLate ? .timedOut : .unreachable)
            context.logger.warning(
                "the service did not answer",
                metadata: ["error": .string(isLate ? "timed out" : "\(type(of: error))")])
            throw isLate ? .gatewayTimeout : .badGateway
        }
    }

    /// A connection that was kept may have been closed by the service in the very moment. What only asks may be asked again
    /// (RFC 9110 §9.2.2).
    private func ask(_ question: HTTPClientRequest) async throws -> HTTPClientResponse {
        do {
            return try await client.execute(question, deadline: .distantFuture)
        } catch {
            guard let failure = error as? HTTPClientError, failure == .remoteConnectionClosed, question.body == nil,
                [.GET, .HEAD, .OPTIONS].contains(question.method)
            else { throw error }
            return try await client.execute(question, deadline: .distantFuture)
        }
    }

    private static func isLate(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError: [.readTimeout, .writeTimeout, .connectTimeout].contains(error)
        case ChannelError.connectTimeout: true
        default: false
        }
    }

    private func response(_ answer: HTTPClientResponse, to request: Request) -> Response {
        let status = HTTPResponse.Status(code: Int(answer.status.code), reasonPhrase: answer.status.reasonPhrase)
        var fields = ForwardedFields.response(answer.headers)
        let lengths = answer.headers["content-length"]
        let length = answer.headers.contains(name: "transfer-encoding") ? nil : lengths.first.flatMap { Int($0) }
        // RFC 9110 §6.4.1: these have none, whatever their fields say of one.
        if request.method == .head || status == .noContent || status == .notModified {
            if let length { fields[.contentLength] = "\(length)" }
            return Response(status: status, headers: fields)
        }
        let (body, counts) = (answer.body, counts)
        return Response(
            status: status, headers: fields,
            body: ResponseBody(contentLength: length) { writer in
                do {
                    for try await piece in body { try await writer.write(piece) }
                    // A cancelled task sees the body end as if it were complete.
                    try Task.checkCancellation()
                } catch {
                    // The caller sees the connection end before the answer does, and takes a half one for none.
                    counts.upstream(.broken)
                    throw error
                }
                try await writer.finish(nil)
            })
    }
}
