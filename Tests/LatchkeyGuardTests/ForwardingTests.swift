import HTTPTypes
import NIOCore
import NIOHTTP1
import Testing

@testable import LatchkeyGuard

@Suite("What crosses the proxy")
struct ForwardingTests {
    private let identity = IdentityFields([.subject: ["u1"], .scope: ["a", "b"]])

    private func forwarded(
        _ fields: [(String, String)], authorization: GuardSettings.AuthorizationField = .drop,
        from address: String? = nil
    ) throws -> HTTPHeaders {
        var request = HTTPRequest(method: .get, scheme: "http", authority: "api.example:80", path: "/")
        for (name, value) in fields {
            request.headerFields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
        }
        return ForwardedFields.request(
            request, identity: identity, authorization: authorization,
            caller: try address.map { try SocketAddress(ipAddress: $0, port: 1) })
    }

    @Test(arguments: [
        "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "Authorization", "X-Auth-Token-Id", "x-auth-",
        "X-Auth-Whatever", "X_Auth_Subject", "X-Auth_Roles", "x_auth_session", "X.Auth.Roles", "x~auth!subject",
        "X-Auth-Token.Id",
    ])
    func `is none of the connection's fields, nor what looks like an identity`(name: String) throws {
        #expect(try !forwarded([(name, "1")]).contains(name: name))
    }

    @Test func `is no field that the caller has made one of the connection's, and the identity all the same`() throws {
        let headers = try forwarded([
            ("Connection", "close, X-Secret,x-auth-subject"), ("Connection", "\tx-other"), ("X-Secret", "1"),
            ("X-Other", "1"), ("X-Kept", "1"), ("X-Auth-Subject", "root"),
        ])
        #expect(!headers.contains(name: "x-secret") && !headers.contains(name: "x-other"))
        #expect(headers["x-kept"] == ["1"])
        #expect(headers["x-auth-subject"] == ["u1"])
        #expect(headers["x-auth-scope"] == ["a b"])
        #expect(headers["host"] == ["api.example:80"])
        #expect(headers["via"] == ["1.1 latchkey-guard"])
    }

    @Test func `is the token where it was asked for, and who asked`() throws {
        let headers = try forwarded(
            [("Authorization", "Bearer x"), ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2")],
            authorization: .pass, from: "10.0.0.3")
        #expect(headers["authorization"] == ["Bearer x"])
        #expect(headers["x-forwarded-for"] == ["10.0.0.1, 10.0.0.2, 10.0.0.3"])
        #expect(try !forwarded([]).contains(name: "x-forwarded-for"))
    }

    @Test func `is of an answer what is the message's`() {
        let fields = ForwardedFields.response([
            "Connection": "X-Private", "X-Private": "1", "Transfer-Encoding": "chunked", "Content-Length": "3",
            "Upgrade": "h2c", "Set-Cookie": "a=1", "set-cookie": "b=2", "X-Public": "1", "WWW-Authenticate": "Basic",
        ])
        #expect(fields.map(\.name.canonicalName) == ["set-cookie", "set-cookie", "x-public", "www-authenticate"])
    }

    @Test func `names the identity in visible ASCII, and what there is none of`() {
        let identity = IdentityFields([
            .subject: ["a\r\nX: y"], .client: ["100%"], .roles: ["two words", "ärgerlich"], .scope: [],
        ])
        let values = Dictionary(uniqueKeysWithValues: identity.fields.map { ($0.name.rawName, $0.value) })
        #expect(
            values == [
                "X-Auth-Subject": "a%0D%0AX:%20y", "X-Auth-Client": "100%25",
                "X-Auth-Roles": "two%20words %C3%A4rgerlich",
            ])
        #expect(identity.absent == [.scope, .session, .token, .expires])
    }

    @Test(arguments: [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"), ("http://orders", "http://orders"),
        ("https://orders.example:8443/", "https://orders.example:8443"), ("http://[::1]:80", "http://[::1]:80"),
        ("http://a_b-c", "http://a_b-c"),
    ])
    func `goes to an origin`(text: String, origin: String) throws {
        let upstream = try #require(Upstream(text))
        #expect(upstream.address(of: "/") == origin + "/")
        #expect(upstream.address(of: "/a%2Fb//c/..;v=1?q=%20&[1]|") == origin + "/a%2Fb//c/..;v=1?q=%20&%5B1%5D%7C")
        for target in ["", "*", "http://elsewhere/", "orders"] { #expect(upstream.address(of: target) == nil) }
    }

    @Test(arguments: [
        "", "orders", "ftp://a", "http://", "http:///", "http://a/b", "http://a?b", "http://a#b", "http://u@a",
        "http://a:", "http://a:0", "http://a:65536", "http://a:+1", "http://a b", "http://[::1", "http://[]",
        "http://[::1]x", "HTTP://a", "http://ａ", "http://a\r\n", "http://a:1:2",
    ])
    func `goes to nothing else`(text: String) {
        #expect(Upstream(text) == nil)
    }
}
