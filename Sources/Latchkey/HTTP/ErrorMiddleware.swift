import LatchkeyVerifier
package import Hummingbird
internal import LatchkeyHummingbird
internal import HTTPTypes
internal import JOSE
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Postgres

/// An error whose text holds nothing secret and nothing that a caller sent: it may stand in the log.
package protocol LoggableError: Error {
    var loggable: String { get }
    /// Seconds after which the same request may be sent again: the caller is told 503. nil: a fault, 500.
    var retryAfter: Int? { get }
}

extension LoggableError {
    package var retryAfter: Int? { nil }
}

/// The outermost middleware: names the request, gives every refusal and fault its face, logs one line. It must be added
/// to the router before any route: Hummingbird gives a route only the middleware that stood before it.
package struct ErrorMiddleware: RouterMiddleware {
    package typealias Context = LatchkeyRequestContext

    private let policy: EdgePolicy
    private let traffic: HTTPTraffic

    /// - Parameter traffic: what it counts in; one of its own where nobody looks.
    package init(_ policy: EdgePolicy = EdgePolicy(), counting traffic: HTTPTraffic = HTTPTraffic()) {
        self.policy = policy
        self.traffic = traffic
    }

    package func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        traffic.arrived()
        defer { traffic.left() }
        var context = context
        let given = request.headers.first { $0.name == .xRequestID }
        if let given = RequestID.accepted(given?.value) { context.requestID = given }
        if !policy.proxies.isEmpty {
            context.proxies = policy.proxies
            context.forwardedFor = request.headers[.xForwardedFor]
        }

        let mayGoOn = policy.enter()
        defer { policy.leave() }
        var response: Response
        do {
            guard mayGoOn else { throw Rejection.overloaded(retryAfter: 1) }
            response = try await respond(to: request, context: context, next: next)
        } catch {
            response = answer(to: error, request: request, context: context)
            // After the parser's own error nothing can be read from the connection.
            if error is HTTPParserError { response.headers[.connection] = "close" }
            // RFC 9110 §9.3.2: an answer to HEAD has no body, and what follows would be read as the next answer.
            if request.method == .head { response = response.createHeadResponse() }
        }
        complete(&response, requestID: context.requestID)
        let spent = ContinuousClock.now - start
        traffic.answered(
            context.endpointPath, method: request.method.rawValue, status: response.status.code, in: spent)
        log(response, to: request, context: context, spent: spent)
        return response
    }

    /// What no path stands for is answered here.
    private func respond(
        to request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if request.uri.path.utf8.first == UInt8(ascii: "*") {
            if let refusal = EdgeRefusal(path: request.uri.path) { throw refusal.rejection }
            // RFC 9110 §9.3.7: asked of the server in general, which says that it is there.
            if request.method == .options { return .noContent() }
        }
        return try await next(request, context)
    }

    /// A route's own fields stand. They are walked through, not looked up: a look-up makes an index of them first.
    private func complete(_ response: inout Response, requestID: String) {
        let own = response.headers
        for field in policy.fields where !own.contains(where: { $0.name == field.name }) {
            response.headers.append(field)
        }
        if !own.contains(where: { $0.name == .cacheControl }) { response.headers.append(Self.noStore) }
        response.headers.append(HTTPField(name: .xRequestID, value: requestID))
    }

    private static let noStore = HTTPField(name: .cacheControl, value: "no-store")

    private func answer(to error: any Error, request: Request, context: Context) -> Response {
        let face = Face(path: request.uri.path)
        guard let rejection = Rejection(of: error) else {
            var metadata: Logger.Metadata = ["error_type": .string(String(describing: type(of: error)))]
            let loggable = error as? any LoggableError
            if let loggable { metadata["error"] = .string(loggable.loggable) }
            context.logger.error("request failed", metadata: metadata)
            if let seconds = loggable?.retryAfter {
                return face.response(for: Rejection.unavailable(retryAfter: seconds))
            }
            return face.fault(requestID: context.requestID)
        }
        return face.response(for: rejection)
    }

    /// The route's template, never the path: a path may hold an id, a query an authorization code.
    private func log(_ response: Response, to request: Request, context: Context, spent: Duration) {
        let (seconds, attoseconds) = spent.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        context.logger.info(
            "request",
            metadata: [
                "method": .string(request.method.loggable),
                "route": .string(context.endpointPath ?? "none"),
                "status": .stringConvertible(response.status.code),
                "duration_ms": .stringConvertible(Double(microseconds) / 1_000),
            ])
    }
}

/// Which of a rejection's two faces a path shows.
private enum Face {
    case oauth
    case problem

    init(path: String) {
        let bytes = path.utf8
        self = bytes.starts(with: "/oauth2/".utf8) || bytes.elementsEqual("/oauth2".utf8) ? .oauth : .problem
    }

    func response(for rejection: Rejection) -> Response {
        switch self {
        case .oauth: .oauthError(rejection.oauthError)
        case .problem: .problem(rejection.problem)
        }
    }

    func fault(requestID: String) -> Response {
        switch self {
        case .oauth: .oauthError(.fault(requestID: requestID))
        case .problem: .problem(.fault(requestID: requestID))
        }
    }
}

extension Rejection {
    /// What an error of ours, of Hummingbird or of the connection refuses; nil for a fault.
    fileprivate init?(of error: any Error) {
        switch error {
        case let rejection as Rejection:
            self = rejection
        case let failure as BearerFailure:
            self.init(failure)
        case PostgresError.unavailable, PostgresError.unknownOutcome:
            // Nothing is acknowledged that cannot be proved; the same request may be sent again.
            self = .unavailable(retryAfter: 1)
        case let error as PostgresError where error.isPassing:
            // Read-only, full, shutting down: the request was right, and may be sent again.
            self = .unavailable(retryAfter: 1)
        case let error as PostgresError where error.sqlState == "22021":
            // NUL is UTF-8, and in no text of PostgreSQL's.
            self = .invalidRequest(description: "A parameter holds a NUL.")
        case is CancellationError:
            // The caller has gone or the node shuts down: if anyone reads this, they may try again.
            self = .unavailable(retryAfter: 1)
        case is IOError, is ChannelError, is HTTPParserError:
            self = .invalidRequest(description: "The connection ended before the request did.")
        case let error as any HTTPResponseError:
            self.init(status: error.status.code)
        default:
            return nil
        }
    }

    /// Hummingbird's own refusals. Its messages stay out: they may quote the request.
    private init?(status: Int) {
        switch status {
        case 404: self = .notFound(what: "path")
        case 413: self = .bodyTooLarge(limit: nil)
        case 400..<500: self = .invalidRequest(description: "Mend the request: its path, parameters or body.")
        default: return nil
        }
    }
}

extension Rejection {
    fileprivate init(_ failure: BearerFailure) {
        switch failure {
        case .missing: self = .missingToken
        case .malformed: self = .invalidRequest(description: "Send one bearer token in the Authorization header.")
        // One sentence for all: why a token is refused is the log's business.
        case .rejected(.expired): self = .invalidToken(reason: "The token has expired.")
        case .rejected: self = .invalidToken(reason: "The token is not valid here, or not any more.")
        case .insufficientScope(let scope): self = .insufficientScope(scope)
        // No route of ours asks for a role: what a role may do, its scopes say.
        case .insufficientRole: self = .invalidToken(reason: "The token is not valid here, or not any more.")
        }
    }
}

extension PostgresError: LoggableError {
    package var loggable: String { description }
}

extension HTTPRequest.Method {
    /// One of the methods that HTTP names, else "other": a caller's word does not stand in the log.
    fileprivate var loggable: String { Self.common.contains(self) ? rawValue : "other" }

    private static let common: Set<HTTPRequest.Method> = [
        .get, .head, .post, .put, .delete, .connect, .options, .trace, .patch,
    ]
}

extension HTTPField.Name {
    package static let xRequestID = HTTPField.Name(known: "x-request-id")
}

extension HTTPField.Name {
    /// A name known to be a token of RFC 9110 §5.6.2.
    init(known name: StaticString) {
        guard let parsed = HTTPField.Name("\(name)") else { preconditionFailure("not a field name") }
        self = parsed
    }
}
