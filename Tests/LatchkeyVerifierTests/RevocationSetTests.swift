import JOSE
import LatchkeyVerifier
import LibCrypto
import Testing

@Suite struct RevocationSets {
    private let id = UniqueID.version7(millisecondsSince1970: 1, random: SecureRandom.bytes(10))
    private let other = UniqueID.version7(millisecondsSince1970: 1, random: SecureRandom.bytes(10))

    @Test(
        "of two expiries the later stays, in whatever order they come",
        arguments: [[100, 200], [200, 100], [200, 200]])
    func laterExpiry(expiries: [Int64]) {
        var set = RevocationSet()
        for expiry in expiries { set.insert(id, expiresAt: expiry) }
        #expect(set.count == 1)
        set.removeExpired(now: 199)
        #expect(set.contains(id))
        set.removeExpired(now: 200)
        #expect(!set.contains(id))
        #expect(set.count == 0)
    }

    @Test func `an empty set holds nothing, a full one only what was put in`() {
        var set = RevocationSet()
        #expect(!set.contains(id) && !set.contains(keyID: "") && set.count == 0)
        set.insert(id, expiresAt: 10)
        #expect(set.contains(id) && !set.contains(other) && !set.contains(keyID: id.text))
        #expect(set.contains(tokenID: id, sessionID: nil) && set.contains(tokenID: other, sessionID: id))
        #expect(!set.contains(tokenID: other, sessionID: nil) && !set.contains(tokenID: other, sessionID: other))
    }

    @Test(
        "an expiry beyond 2106 is never dropped too early", arguments: [4_294_967_295, 4_294_967_296, .max] as [Int64])
    func farFuture(expiry: Int64) {
        var set = RevocationSet()
        set.insert(id, expiresAt: expiry)
        set.removeExpired(now: expiry - 1)
        #expect(set.contains(id))
    }

    @Test func `an expiry in the past, or before 1970, is gone at the next clearing`() {
        var set = RevocationSet()
        set.insert(id, expiresAt: -5)
        set.insert(other, expiresAt: 5)
        set.removeExpired(now: 5)
        #expect(set.count == 0)
    }

    @Test func `keys stay until they are lifted, and are told apart byte for byte`() {
        var set = RevocationSet()
        set.insert(keyID: "K")
        set.insert(id, expiresAt: 5)
        set.removeExpired(now: .max)
        #expect(set.contains(keyID: "K") && !set.contains(keyID: "\u{212A}") && !set.contains(keyID: "k"))
        #expect(set.count == 1)
        set.lift(keyID: "\u{212A}")
        #expect(set.contains(keyID: "K"))
        set.lift(keyID: "K")
        #expect(!set.contains(keyID: "K") && set.count == 0)
    }

    @Test func `100,000 revocations are all found`() throws {
        var set = RevocationSet()
        let ids = (0..<100_000).map { UniqueID.version7(millisecondsSince1970: $0, random: SecureRandom.bytes(10)) }
        for (expiry, id) in ids.enumerated() { set.insert(id, expiresAt: Int64(expiry)) }
        #expect(set.count == 100_000 && ids.allSatisfy(set.contains))
        set.removeExpired(now: 50_000)
        #expect(set.count == 49_999)
        #expect(ids.enumerated().allSatisfy { set.contains($0.element) == ($0.offset > 50_000) })
    }
}
