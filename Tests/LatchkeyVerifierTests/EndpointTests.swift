import Testing

@testable import LatchkeyVerifier

@Suite struct Endpoints {
    @Test(
        "https anywhere, http on the loopback",
        arguments: [
            "https://id.example", "https://id.example/a/b?c=d", "https://10.0.0.1:8443", "https://[2001:db8::1]:1/",
            "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:9",
        ])
    func good(text: String) {
        #expect(Endpoint(text)?.text == text)
    }

    @Test(
        "nothing else",
        arguments: [
            "http://id.example", "http://127.0.0.1.evil.example", "http://127.0.0.2", "http://localhost.evil.example",
            "http://LOCALHOST", "http://[::2]", "http://[::1", "http://[::1]x", "HTTPS://id.example",
            "https:/id.example",
            "https://", "https:///x", "https://:1", "https://id.example:1x", "https://a:b@id.example",
            "https://id.example#a",
            "https://id.example/ a", "https://id.example\\a", "https://ｉd.example", "https://id.example/\n",
            "//id.example",
            "javascript:alert(1)", "file:///etc/passwd", "http://localhost\\@evil.example",
            "https://" + String(repeating: "a", count: 2048),
        ])
    func bad(text: String) {
        #expect(Endpoint(text) == nil)
    }

    @Test func `what is appended stands behind the path`() {
        #expect(Endpoint("https://id.example")?.appending("/.well-known/x")?.text == "https://id.example/.well-known/x")
        #expect(Endpoint("https://id.example/t/")?.appending("/stream")?.text == "https://id.example/t/stream")
        #expect(Endpoint("https://id.example/a")?.query([("b", "c"), ("d", "e")]) == "https://id.example/a?b=c&d=e")
        #expect(Endpoint("https://id.example/a?x=1")?.query([("b", "c")]) == "https://id.example/a?x=1&b=c")
        #expect(Endpoint("https://id.example/a")?.query([]) == "https://id.example/a")
    }
}
