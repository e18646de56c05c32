import HTTPTypes
import JOSE
import Testing

@testable import Latchkey

@Suite("A rejection")
struct RejectionTests {
    /// Every case with the status and the code of both faces.
    static let table: [(Rejection, Int, String, Int, String)] = [
        (.badJSON(reason: "NUL at byte 3"), 400, "bad-json", 400, "invalid_request"),
        (.missingField("username"), 400, "missing-field", 400, "invalid_request"),
        (.wrongType(field: "username", expected: "a string"), 400, "wrong-type", 400, "invalid_request"),
        (.invalidField("email", reason: "It has no @."), 422, "invalid-field", 400, "invalid_request"),
        (.invalidRequest(description: "No."), 400, "invalid-request", 400, "invalid_request"),
        (.bodyTooLarge(limit: 16), 413, "body-too-large", 413, "invalid_request"),
        (.bodyTooLarge(limit: nil), 413, "body-too-large", 413, "invalid_request"),
        (.unsupportedMediaType(expected: "a/b"), 415, "unsupported-media-type", 415, "invalid_request"),
        (.notFound(what: "session"), 404, "not-found", 404, "invalid_request"),
        (.methodNotAllowed(allowed: ["GET", "POST"]), 405, "method-not-allowed", 405, "invalid_request"),
        (.unsupportedContentCoding, 415, "unsupported-content-coding", 415, "invalid_request"),
        (.requestTimeout, 408, "request-timeout", 408, "invalid_request"),
        (.targetTooLong, 414, "uri-too-long", 414, "invalid_request"),
        (.fieldsTooLarge, 431, "headers-too-large", 431, "invalid_request"),
        (.expectationFailed, 417, "expectation-failed", 417, "invalid_request"),
        (.methodNotImplemented, 501, "not-implemented", 501, "invalid_request"),
        (.codingNotImplemented, 501, "not-implemented", 501, "invalid_request"),
        (.historyNotImplemented, 501, "not-implemented", 501, "invalid_request"),
        (.versionNotSupported, 505, "http-version-not-supported", 505, "invalid_request"),
        (.registrationClosed, 403, "registration-closed", 403, "access_denied"),
        (.usernameTaken, 409, "username-taken", 409, "invalid_request"),
        (.usernameInvalid(reason: "No."), 422, "username-invalid", 422, "invalid_request"),
        (.passwordTooWeak(reason: "No."), 422, "password-too-weak", 422, "invalid_request"),
        (.invalidCredentials, 401, "invalid-credentials", 401, "access_denied"),
        (.tooManyAttempts(retryAfter: 7), 429, "too-many-attempts", 429, "temporarily_unavailable"),
        (.overloaded(retryAfter: 2), 503, "overloaded", 503, "temporarily_unavailable"),
        (.unavailable(retryAfter: 0), 503, "unavailable", 503, "temporarily_unavailable"),
        (.missingToken, 401, "missing-token", 401, "invalid_request"),
        (.invalidToken(reason: "Expired."), 401, "invalid-token", 401, "invalid_token"),
        (.insufficientScope("keys:read"), 403, "insufficient-scope", 403, "insufficient_scope"),
        (.invalidClient, 401, "invalid-client", 401, "invalid_client"),
        (.invalidGrant, 400, "invalid-grant", 400, "invalid_grant"),
        (.unauthorizedClient, 400, "unauthorized-client", 400, "unauthorized_client"),
        (.unsupportedGrantType, 400, "unsupported-grant-type", 400, "unsupported_grant_type"),
        (.invalidScope, 400, "invalid-scope", 400, "invalid_scope"),
        (.unsupportedTokenType, 400, "unsupported-token-type", 400, "unsupported_token_type"),
        (.tokenOfAnotherClient, 400, "token-of-another-client", 400, "invalid_grant"),
        (.invalidTarget, 400, "invalid-target", 400, "invalid_target"),
        (.resync, 410, "resync", 410, "invalid_request"),
        (.noRipeStandby(ripeAt: "2026-11-22T17:40:00Z"), 409, "no-ripe-standby", 409, "invalid_request"),
        (.verifiersNotReady(kid: "k", verifiers: ["a"]), 409, "verifiers-not-ready", 409, "invalid_request"),
        (.confirmationNeeded(detail: "Send confirm."), 409, "confirmation-needed", 409, "invalid_request"),
        (.conflict(code: "last-admin", detail: "No."), 409, "last-admin", 409, "invalid_request"),
    ]

    @Test("has both faces", arguments: table.indices)
    func faces(index: Int) throws {
        let (rejection, status, code, oauthStatus, error) = Self.table[index]
        let problem = rejection.problem
        #expect(problem.status == status && problem.code == code)
        let body = try #require(problem.body.object)
        #expect(body["type"] == .string("urn:latchkey:problem:\(code)"))
        #expect(body["status"] == .integer(Int64(status)))
        for name in ["title", "detail", "code"] { #expect(body[name]?.string?.isEmpty == false) }
        #expect(body["code"]?.string == code)

        let oauth = rejection.oauthError
        #expect(oauth.status == oauthStatus && oauth.error == error)
        #expect(oauth.body == ["error": .string(error), "error_description": .string(oauth.description)])
        #expect(!oauth.description.isEmpty)
        #expect(oauth.description.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c })

        for (status, headers) in [(status, problem.headers), (oauthStatus, oauth.headers)] {
            #expect((headers[.wwwAuthenticate] != nil) == [401, 403].contains(status))
            #expect((headers[.retryAfter] != nil) == [429, 503].contains(status))
            #expect((headers[.allow] != nil) == (status == 405))
            for field in headers { #expect(field.value.utf8.allSatisfy { (0x20...0x7e).contains($0) }) }
        }
    }

    @Test("stands in the table with every case")
    func complete() {
        #expect(Set(Self.table.map { caseName($0.0) }).count == 42)
        #expect(Set(Self.table.map(\.2)).count == 40)
    }

    @Test("names what a token lacks, RFC 6750 §3")
    func challenges() {
        #expect(Rejection.missingToken.problem.headers[.wwwAuthenticate] == "Bearer realm=\"latchkey\"")
        #expect(
            Rejection.invalidToken(reason: "The token has expired.").problem.headers[.wwwAuthenticate]
                == "Bearer realm=\"latchkey\", error=\"invalid_token\", error_description=\"The token has expired.\"")
        #expect(
            Rejection.insufficientScope("keys:rotate").oauthError.headers[.wwwAuthenticate]
                == "Bearer realm=\"latchkey\", error=\"insufficient_scope\", scope=\"keys:rotate\"")
        #expect(Rejection.invalidClient.oauthError.headers[.wwwAuthenticate] == "Basic realm=\"latchkey\"")
    }

    @Test("carries what belongs to it")
    func members() {
        #expect(Rejection.noRipeStandby(ripeAt: "T").problem.body.object?["ripe_at"] == "T")
        #expect(Rejection.missingField("password").problem.body.object?["field"] == "password")
        #expect(Rejection.tooManyAttempts(retryAfter: 7).problem.headers[.retryAfter] == "7")
        #expect(Rejection.unavailable(retryAfter: 0).oauthError.headers[.retryAfter] == "1")
        #expect(Rejection.methodNotAllowed(allowed: ["GET", "HEAD"]).problem.headers[.allow] == "GET, HEAD")
    }

    @Test("cannot break out of a header or its quotes")
    func injection() {
        let hostile = "a\"b\\c\r\nSet-Cookie: x=\u{e9}\u{0}"
        #expect(ErrorText.restricted(hostile) == "a'b?c??Set-Cookie: x=???")
        let header = Rejection.invalidToken(reason: hostile).problem.headers[.wwwAuthenticate]
        #expect(header?.utf8.allSatisfy { (0x20...0x7e).contains($0) } == true)
        #expect(header?.split(separator: "\"").count == 6)
    }

    private func caseName(_ rejection: Rejection) -> String {
        String(String(describing: rejection).prefix { $0 != "(" })
    }
}
