internal import HTTPTypes
internal import Hummingbird
internal import JOSE
internal import LatchkeyHummingbird
internal import NIOCore

/// What the guard answers by itself, beside `BearerFailure`, which is the caller's token's. Each has its face as RFC 9457
/// asks for it.
enum Refusal: Error, Equatable {
    /// Nothing that the edge lets through to a service: the status is the edge's.
    case malformed(HTTPResponse.Status)
    /// The proxy asks for what the guard does not understand.
    case requirement(Requirement.Fault)
    /// No path of the check's.
    case noSuchCheck
    /// A target or a method that is not for a service behind a proxy.
    case notForwarded
    case badGateway
    case gatewayTimeout

    var response: Response {
        let body: JSONValue = [
            "type": .string("urn:latchkey:problem:\(code)"), "title": .string(title), "code": .string(code),
            "status": .integer(Int64(status.code)), "detail": .string(detail),
        ]
        var headers: HTTPFields = [.contentType: "application/problem+json", .cacheControl: "no-store"]
        if status == .serviceUnavailable { headers[.retryAfter] = "1" }
        return Response(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body.encoded())))
    }

    private var status: HTTPResponse.Status {
        switch self {
        case .malformed(let status): status
        case .requirement, .notForwarded: .badRequest
        case .noSuchCheck: .notFound
        case .badGateway: .badGateway
        case .gatewayTimeout: .gatewayTimeout
        }
    }

    private var code: String {
        switch self {
        case .malformed: "malformed-request"
        case .requirement: "unclear-requirement"
        case .noSuchCheck: "no-such-check"
        case .notForwarded: "not-forwarded"
        case .badGateway: "bad-gateway"
        case .gatewayTimeout: "gateway-timeout"
        }
    }

    private var title: String {
        switch self {
        case .malformed: "Malformed request"
        case .requirement: "Unclear requirement"
        case .noSuchCheck: "No such check"
        case .notForwarded: "Not forwarded"
        case .badGateway: "Bad gateway"
        case .gatewayTimeout: "Gateway timeout"
        }
    }

    private var detail: String {
        switch self {
        case .malformed: "The request is malformed, too large, too slow or one too many."
        case .requirement(let fault): "Mend the proxy's configuration: \(fault.rawValue)."
        case .noSuchCheck: "Ask at /check, or below /envoy."
        case .notForwarded: "Send a path, and no CONNECT or TRACE."
        case .badGateway: "The service does not answer, or not in HTTP."
        case .gatewayTimeout: "The service did not answer in time."
        }
    }
}
