internal import HTTPTypes
internal import Hummingbird
internal import LatchkeyHummingbird
internal import LatchkeyVerifier
internal import Logging

/// What every request of the guard's port goes through: judged by the check or handed on by the proxy, counted, and given
/// a face where it is refused. No path is the guard's own here, not even a health check: behind Envoy and before a service
/// every path is the application's, and one that is answered without a token is a hole.
struct GuardResponder: HTTPResponder {
    enum Door {
        case check(AuthorizationCheck)
        case proxy(ReverseProxy)
    }

    let door: Door
    let counts: GuardCounts
    /// The status for a target that the edge has put in place of a request which it refuses; nil for a caller's.
    let refusedByEdge: @Sendable (String) -> Int?

    func respond(to request: Request, context: GuardContext) async throws -> Response {
        do {
            if let status = refusedByEdge(request.head.path ?? "") {
                throw Refusal.malformed(HTTPResponse.Status(code: status))
            }
            let response =
                switch door {
                case .check(let check): try await check.respond(to: request, context: context)
                case .proxy(let proxy): try await proxy.respond(to: request, context: context)
                }
            counts.verdict(.allowed)
            return response
        } catch let failure as BearerFailure {
            return try answer(failure, request, context)
        } catch let refusal as Refusal {
            if case .requirement(let fault) = refusal {
                context.logger.error("a proxy asks unclearly", metadata: ["fault": .string(fault.rawValue)])
            }
            counts.verdict(refusal.isOfUpstream ? .allowed : .refused)
            let response = refusal.response
            return request.method == .head ? response.createHeadResponse() : response
        }
    }

    private func answer(_ failure: BearerFailure, _ request: Request, _ context: GuardContext) throws -> Response {
        counts.verdict(failure.verdict)
        if case .rejected(let reason) = failure {
            context.logger.info("token refused", metadata: ["reason": .string(reason.rawValue)])
        }
        var response = try failure.response(from: request, context: context)
        // nginx knows 401 and 403, and takes any other 4xx for a fault of the check's own, which a caller should not be
        // able to make.
        if case .check = door, failure == .malformed { response.status = .unauthorized }
        return response
    }
}

extension Refusal {
    /// The token was good.
    fileprivate var isOfUpstream: Bool { self == .badGateway || self == .gatewayTimeout || self == .notForwarded }
}
