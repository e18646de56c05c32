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

    @Test("an entry takes at most 32 bytes, however many there are", arguments: [50_000, 123_456, 300_000])
    func memory(count: Int) {
        var set = RevocationSet()
        var largest = 0.0
        for index in 0..<count {
            set.insert(
                .version7(millisecondsSince1970: 5, random: SecureRandom.bytes(10)), expiresAt: Int64(index % 100))
            if index >= 40_000, index % 1000 == 0 { largest = max(largest, Double(set.heldBytes) / Double(set.count)) }
        }
        #expect(set.count == count && largest <= 32, "\(largest)")
        let before = set.heldBytes
        set.removeExpired(now: 89)
        #expect(abs(set.count - count / 10) <= 10)
        #expect(set.heldBytes < before / 5)
    }

    @Test func `ids that share one half, or are zero, are told apart`() throws {
        var set = RevocationSet()
        var ids: [UniqueID] = [UniqueID(high: 0, low: 0), UniqueID(high: .max, low: .max)]
        for number in 1...3000 as ClosedRange<UInt64> {
            ids += [
                UniqueID(high: number, low: 7), UniqueID(high: 7, low: number), UniqueID(high: number << 48, low: 9),
            ]
        }
        for id in ids { set.insert(id, expiresAt: 10) }
        let distinct = Set(ids)
        #expect(set.count == distinct.count && ids.allSatisfy(set.contains))
        for number in 3001...6000 as ClosedRange<UInt64> {
            #expect(!set.contains(UniqueID(high: number, low: 7)) && !set.contains(UniqueID(high: 8, low: number)))
        }
        set.removeExpired(now: 10)
        #expect(set.count == 0 && set.heldBytes == 0 && !ids.contains(where: set.contains))
    }

    @Test func `nobody can tell which ids fall on the end of a table, and make it grow for ever`() throws {
        // The mixing without its secret numbers, undone: all these would be 0x00ffffffffffffff, at the end of the first part.
        let ids = (1...64 as ClosedRange<UInt64>).map { high in
            var low: UInt64 = 0x00ff_ffff_ffff_ffff &* 0xf1de_83e1_9937_733d
            low = low ^ low >> 29 ^ low >> 58
            low &*= 0xcfee_444d_8b59_a89b
            low ^= low >> 32
            return UniqueID(high: high, low: low &- high &* 0x9e37_79b9_7f4a_7c15)
        }
        // Required first: an insert of the 33rd would not come back.
        try #require(Set(ids.map { ExpiryTable.Key($0).mixed }).count == ids.count)
        var set = RevocationSet()
        for id in ids { set.insert(id, expiresAt: 10) }
        #expect(set.count == 64 && set.heldBytes < 1 << 20)
    }

    @Test func `ids that differ in the first bits of both halves do not meet`() throws {
        let id = UniqueID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210)
        let twin = UniqueID(high: id.high ^ 1 << 63, low: id.low ^ 1 << 63)
        #expect(ExpiryTable.Key(id).mixed != ExpiryTable.Key(twin).mixed)
        var mixed: Set<UInt64> = []
        for high in 0..<256 as Range<UInt64> {
            for low in 0..<256 as Range<UInt64> {
                mixed.insert(ExpiryTable.Key(UniqueID(high: high << 56 | 7, low: low << 56 | 9)).mixed)
            }
        }
        #expect(mixed.count > 65_000, "\(mixed.count)")
    }

    @Test func `a set does as a dictionary does, whatever is done`() {
        var set = RevocationSet()
        var model: [UniqueID: Int64] = [:]
        let ids = (0..<400).map { _ in UniqueID.version7(millisecondsSince1970: 5, random: SecureRandom.bytes(10)) }
        for step in 0..<40_000 {
            guard let id = ids.randomElement() else { continue }
            switch step % 97 {
            case 0:
                let now = Int64.random(in: 0...60)
                set.removeExpired(now: now)
                model = model.filter { $0.value > now }
            default:
                let expiry = Int64.random(in: 1...100)
                set.insert(id, expiresAt: expiry)
                model[id] = max(model[id] ?? 0, expiry)
            }
            #expect(set.count == model.count)
            if let other = ids.randomElement() { #expect(set.contains(other) == (model[other] != nil)) }
        }
        #expect(ids.allSatisfy { set.contains($0) == (model[$0] != nil) })
    }

    @Test func `the union of two sets holds both, with the later expiries`() {
        var (first, second) = (RevocationSet(), RevocationSet())
        first.insert(id, expiresAt: 10)
        second.insert(id, expiresAt: 20)
        second.insert(other, expiresAt: 5)
        second.insert(keyID: "k")
        for part in 0..<RevocationSet.partCount { first.formUnion(second, part: part) }
        first.formUnionOfKeys(second)
        first.formUnionOfKeys(second)
        #expect(first.count == 3 && first.contains(other) && first.contains(keyID: "k"))
        first.removeExpired(now: 19)
        #expect(first.contains(id) && !first.contains(other))
    }
}
