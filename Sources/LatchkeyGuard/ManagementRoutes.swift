internal import HTTPTypes
internal import Hummingbird
internal import JOSE
internal import LatchkeyVerifier
internal import NIOCore

/// `/livez`, `/readyz` and `/metrics`, on a port of their own: on the other every path is the application's.
struct ManagementRoutes: Sendable {
    let verifier: Verifier
    let whenStale: StalePolicy
    let registry: MetricsRegistry

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.get("/livez") { _, _ in Self.json(["status": "alive"], .ok) }
        router.get("/readyz") { _, _ in
            let status = verifier.status
            let isReady = status.hasKeys && (status.isFresh || whenStale == .accept)
            return Self.json(
                .object(
                    JSONObject([
                        ("status", isReady ? "ready" : "unready"),
                        (
                            "checks",
                            [
                                "keys": status.hasKeys ? "ok" : "the issuer's keys have not come yet",
                                "revocations": status.isFresh
                                    ? "ok" : "stale: the issuer's feed has not proved itself fresh in time",
                            ]
                        ),
                        ("revocations", .integer(Int64(status.revocations))),
                        ("position", status.position.map { .string($0) }),
                    ])), isReady ? .ok : .serviceUnavailable)
        }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: .init(byteBuffer: ByteBuffer(string: registry.text)))
        }
        return router
    }

    private static func json(_ body: JSONValue, _ status: HTTPResponse.Status) -> Response {
        var headers: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
        if status == .serviceUnavailable { headers[.retryAfter] = "1" }
        return Response(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body.encoded())))
    }
}
