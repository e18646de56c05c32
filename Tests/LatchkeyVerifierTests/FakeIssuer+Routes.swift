import HTTPTypes
import Hummingbird
import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

@testable import LatchkeyVerifier

/// What it answers.
extension FakeIssuer {
    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/.well-known/openid-configuration") { [self] _, _ in
            guard let forge = forge.withLock({ $0 }) else { throw HTTPError(.serviceUnavailable) }
            let document: JSONObject = [
                "issuer": .string(issuer), "jwks_uri": .string("\(issuer)/jwks"),
                "latchkey_revocations_endpoint": .string("\(issuer)/revocations"),
                "latchkey_revocations_jwks": forge.jwks,
            ]
            return Self.answer(document.encoded(), type: "application/json")
        }
        router.get("/jwks") { [self] request, _ in
            let (signers, maxAge, isDown) = state.withLock { state in
                state.keyFetches += 1
                if let name = HTTPField.Name("latchkey-verifier"), let value = request.headers[name] {
                    state.verifierHeaders.append(value)
                }
                return (state.signers, state.maxAge, state.keysAreDown)
            }
            if isDown { throw HTTPError(.serviceUnavailable) }
            while state.withLock({ $0.keysAreSilent }) { try await Task.sleep(for: .milliseconds(20)) }
            var response = Self.answer(
                JSONWebKeySet(signers.map { JSONWebKey($0.publicKey) }).encoded(), type: "application/jwk-set+json")
            response.headers[.cacheControl] = "public, max-age=\(maxAge)"
            return response
        }
        router.get("/revocations") { [self] request, _ in try await list(request) }
        router.get("/revocations/stream") { [self] request, _ in try await stream(request) }
        return router
    }

    private static func answer(_ body: [UInt8], type: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }

    private func pass(_ what: String) async throws {
        state.withLock { $0.asked[what, default: 0] += 1 }
        while state.withLock({ $0.tampering == .silent }) { try await Task.sleep(for: .milliseconds(20)) }
        if state.withLock({ $0.tampering == .cut }) { throw HTTPError(.serviceUnavailable) }
    }

    private func list(_ request: Request) async throws -> Response {
        let query = request.uri.queryParameters
        let after = query["after"].map { String($0) }
        let wait = query["wait"].flatMap { Int($0) } ?? 0
        try await pass(wait > 0 ? "held" : after == nil ? "list" : "poll")
        if state.withLock({ $0.tampering == .noHolding }), wait > 0 { throw HTTPError(.badGateway) }
        if after != nil, seq(after) == nil { throw HTTPError(.gone) }
        let end = ContinuousClock.now + .seconds(wait)
        while let after = seq(after), wait > 0, ContinuousClock.now < end,
            state.withLock({ $0.entries.count == after && $0.tampering != .cut })
        {
            try await Task.sleep(for: .milliseconds(10))
        }
        if after != nil, seq(after) == nil { throw HTTPError(.gone) }
        if let recorded = state.withLock({ $0.tampering == .replays ? $0.recordedList : nil }) {
            return Self.answer(recorded, type: FeedReader.binaryType)
        }
        let message = try message(after: seq(after), nonce: query["nonce"].map { String($0) })
        let body = FeedForge.binary(message.members, message.entries, signature: message.signature)
        state.withLock { if $0.recordedList == nil { $0.recordedList = body } }
        if state.withLock({ $0.tampering == .drips }) { return Self.dripped(body) }
        return Self.answer(body, type: FeedReader.binaryType)
    }

    /// Whole in the end: who waited for it has a good answer.
    private static func dripped(_ body: [UInt8]) -> Response {
        Response(
            status: .ok, headers: [.contentType: FeedReader.binaryType, .cacheControl: "no-store"],
            body: ResponseBody { writer in
                for octet in body.prefix(100) {
                    try await writer.write(ByteBuffer(bytes: [octet]))
                    try await Task.sleep(for: .milliseconds(10))
                }
                try await writer.write(ByteBuffer(bytes: body.dropFirst(100)))
                try await writer.finish(nil)
            })
    }

    private func stream(_ request: Request) async throws -> Response {
        try await pass("stream")
        if state.withLock({ $0.tampering == .noStream || $0.tampering == .noHolding }) { throw HTTPError(.notFound) }
        let nonce = request.uri.queryParameters["nonce"].map { String($0) }
        let from = HTTPField.Name("last-event-id").flatMap { request.headers[$0] }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: ResponseBody { [self] writer in
                guard var sent = seq(from) else {
                    try await writer.write(ByteBuffer(string: "event: resync\ndata: {\"reason\":\"history\"}\n\n"))
                    return try await writer.finish(nil)
                }
                var epoch = state.withLock { $0.epoch }
                var nonce = nonce
                var heartbeatAt = ContinuousClock.now
                var dripped = 0
                while !Task.isCancelled, dripped < 500 {
                    let (head, tampering, present, isStale) = state.withLock {
                        ($0.entries.count, $0.tampering, $0.epoch, $0.isStale)
                    }
                    if tampering == .cut || tampering == .noStream { break }
                    if present != epoch {
                        epoch = present
                        try await writer.write(ByteBuffer(string: "event: resync\ndata: {\"reason\":\"history\"}\n\n"))
                        break
                    }
                    if tampering == .drips, head == sent {
                        dripped += 1
                        try await writer.write(ByteBuffer(string: ":\n"))
                    } else if tampering != .silent, nonce != nil || head > sent || ContinuousClock.now >= heartbeatAt {
                        heartbeatAt = ContinuousClock.now + .milliseconds(100)
                        if isStale {
                            try await writer.write(ByteBuffer(string: "event: stale\ndata: {}\n\n"))
                        } else if tampering == .replays, let recorded = state.withLock({ $0.recordedEvent }) {
                            try await writer.write(ByteBuffer(bytes: recorded))
                        } else if tampering == .hides, head > sent {
                            // It swallows them and goes on behind them.
                            sent = head
                        } else if tampering == .late {
                            let message = try message(after: sent, nonce: nonce)
                            try await Task.sleep(for: .milliseconds(300))
                            try await write(message, head: head, to: &writer)
                            (sent, nonce) = (head, nil)
                        } else {
                            try await write(try message(after: sent, nonce: nonce), head: head, to: &writer)
                            (sent, nonce) = (head, nil)
                        }
                    }
                    try await Task.sleep(for: .milliseconds(10))
                }
                try await writer.finish(nil)
            })
    }

    private func write(_ message: Message, head: Int, to writer: inout any ResponseBodyWriter) async throws {
        let bytes = FeedForge.event(
            message.entries.isEmpty ? "heartbeat" : "revoked", id: Self.word(state.withLock { $0.epoch }, head),
            message.members, message.entries, signature: message.signature)
        if message.entries.isEmpty, message.members["nonce"] == nil { state.withLock { $0.recordedEvent = bytes } }
        try await writer.write(ByteBuffer(bytes: bytes))
    }
}
