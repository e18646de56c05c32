import Testing

@testable import Latchkey

@Suite("The caller's address behind proxies")
struct TrustedProxiesTests {
    private static let proxies = TrustedProxies(
        ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"].compactMap(IPAddressRange.init))

    @Test(
        "is the rightmost that is not a trusted proxy",
        arguments: [
            ("10.0.0.1", nil, "10.0.0.1"), ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            // A caller that is no proxy says what it likes.
            ("203.0.113.9", "198.51.100.7", "203.0.113.9"), ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
            // What stands left of the first stranger is that stranger's word.
            ("10.0.0.1", "127.0.0.1, 198.51.100.7, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.7, 203.0.113.9,10.1.1.1 ,\t192.0.2.1", "203.0.113.9"),
            ("192.0.2.1", "2001:db9::1, 2001:db8::5", "2001:db9::1"), ("2001:db8::1", "203.0.113.9", "203.0.113.9"),
            // An IPv4 address in IPv6's clothes is the same address.
            ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
            // All are proxies: the outermost.
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Made up behind the last proxy: that proxy's own address.
            ("10.0.0.1", "", "10.0.0.1"), ("10.0.0.1", "unknown", "10.0.0.1"), ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
            ("10.0.0.1", "203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"), ("10.0.0.1", "203.0.113.9:80", "10.0.0.1"),
            ("10.0.0.1", "[2001:db9::1]", "10.0.0.1"), ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
            ("10.0.0.1", "203.0.113.009", "10.0.0.1"), ("10.0.0.1", "203.0.113.9 10.0.0.2", "10.0.0.1"),
        ] as [(String, String?, String)])
    func caller(peer: String, forwardedFor: String?, expected: String) throws {
        let peer = try #require(IPAddress(peer))
        #expect(Self.proxies.caller(peer: peer, forwardedFor: forwardedFor) == IPAddress(expected))
        #expect(TrustedProxies.none.caller(peer: peer, forwardedFor: forwardedFor) == peer)
    }

    @Test(
        "has one text",
        arguments: [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::", "::")])
    func text(given: String, text: String) {
        #expect(IPAddress(given)?.text == text)
    }
}
