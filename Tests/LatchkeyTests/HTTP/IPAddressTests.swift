import Latchkey
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("192.0.2.1", [192, 0, 2, 1] as [UInt8]), ("::ffff:192.0.2.1", [192, 0, 2, 1]),
        ("2001:db8::1", [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ])
    func `an address has one spelling`(text: String, bytes: [UInt8]) throws {
        #expect(try #require(IPAddress(text)).bytes == bytes)
    }

    @Test(arguments: [
        "", " 192.0.2.1", "192.0.2.1 ", "192.0.2", "192.0.2.256", "192.0.2.1:80", "0x7f.1", "fe80::1%eth0", "[::1]",
        "localhost", "192.0.2.1\u{0}", "١.٢.٣.٤",
    ])
    func `what is not exactly an address is none`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `an IPv6 caller is known by his first 64 bits`() throws {
        let one = try #require(IPAddress("2001:db8::1")), other = try #require(IPAddress("2001:db8::ffff:2"))
        let third = try #require(IPAddress("2001:db8:0:1::1"))
        #expect(one.network == other.network)
        #expect(one.network != third.network)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false), ("192.0.2.128/25", "192.0.2.127", false),
        ("192.0.2.128/25", "192.0.2.129", true), ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::1", false),
    ])
    func `a range holds what its bits say`(range: String, address: String, isIn: Bool) throws {
        let address = try #require(IPAddress(address))
        #expect(try #require(IPAddressRange(range)).contains(address) == isIn)
    }

    @Test(arguments: [
        "", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.1/8", "10.0.0.0/8/8", "/8", "::/129",
        "10.0.0.0/٨",
    ])
    func `a slip is no range`(text: String) {
        #expect(IPAddressRange(text) == nil)
    }
}
