import JOSE
import LibCrypto
import Testing

@testable import Latchkey

@Suite("A bit's place")
struct StatusIndexTests {
    private static let places: [StatusIndex] = [
        StatusIndex(list: StatusListID(0), index: 0), StatusIndex(list: StatusListID(.max), index: (1 << 20) - 1),
        StatusIndex(list: StatusListID(0x0a1b_2c3d), index: 0x54321), StatusIndex(list: StatusListID(1), index: 1),
    ]

    @Test(arguments: places) func `stands in the id, whatever else is random`(place: StatusIndex) {
        for _ in 0..<100 {
            let id = place.id(millisecondsSince1970: 1_800_000_000_000, random: SecureRandom.bytes(3))
            #expect(StatusIndex(of: id) == place)
            #expect(UniqueID(text: id.text) == id)
        }
    }

    @Test func `is laid out as RFC 9562 §5.8 has it, in our order`() {
        let id = StatusIndex(list: StatusListID(0x0a1b_2c3d), index: 0x54321).id(
            millisecondsSince1970: 0x0123_4567_89ab, random: [0xff, 0xff, 0xff])
        #expect(id.text == "01234567-89ab-8fff-8286-cb0f550c87ff")
        let other = StatusIndex(list: StatusListID(0x0a1b_2c3d), index: 0x54321).id(
            millisecondsSince1970: 0x0123_4567_89ab, random: [0, 0, 0])
        #expect(other.text == "01234567-89ab-8000-8286-cb0f550c8400")
    }

    @Test func `lets ids sort by the time of their making`() {
        let ids = (0..<1_000).map { time in
            StatusIndex(list: StatusListID(.random(in: .min ... .max)), index: .random(in: 0..<(1 << 20))).id(
                millisecondsSince1970: time, random: SecureRandom.bytes(3))
        }
        #expect(ids == ids.sorted())
        // Of one millisecond, it is not before the bounds that a look by time makes.
        let bound = UniqueID.version7(millisecondsSince1970: 500, random: [UInt8](repeating: 0, count: 10))
        #expect(ids[500] > bound && ids[499] < bound)
    }

    @Test(arguments: [
        "01234567-89ab-7fff-8286-cb0f550c8fff", "01234567-89ab-4fff-8286-cb0f550c8fff",
        "01234567-89ab-8fff-c286-cb0f550c8fff", "01234567-89ab-8fff-0286-cb0f550c8fff",
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ])
    func `is in no id of another version or variant`(text: String) throws {
        #expect(StatusIndex(of: try #require(UniqueID(text: text))) == nil)
    }

    @Test func `names its list by one spelling`() {
        for number in [0, 1, 0xff, 0x0a1b_2c3d, UInt32.max] {
            let list = StatusListID(number)
            #expect(list.text.utf8.count == 8)
            #expect(StatusListID(text: list.text) == list)
        }
        #expect(StatusListID(0xa).text == "0000000a")
        for text in [
            "", "a", "0000000A", "000000001", "0x00000a", "+000000a", "-0000001", " 000000a", "0000000g",
            "0000000\u{661}",
            "aaaa\u{301}",
        ] {
            #expect(StatusListID(text: text) == nil, "\(text)")
        }
    }
}

@Suite("The order of a list's bits")
struct IndexOrderTests {
    private static let seed = [UInt8](repeating: 42, count: 16)

    @Test func `hands out each once`() {
        let order = IndexOrder(seed: Self.seed)
        var seen = [Bool](repeating: false, count: Int(StatusIndex.listSize))
        for number in 0..<StatusIndex.listSize { seen[Int(order.index(of: number))] = true }
        #expect(!seen.contains(false))
    }

    @Test func `follows from the seed alone, and each seed has its own`() {
        let (one, same) = (IndexOrder(seed: Self.seed), IndexOrder(seed: Self.seed))
        var other = Self.seed
        other[15] ^= 1
        let another = IndexOrder(seed: other)
        let numbers = Array(0..<UInt32(1024))
        let first = numbers.map { one.index(of: $0) }
        #expect(first == numbers.map { same.index(of: $0) })
        #expect(zip(first, numbers.map { another.index(of: $0) }).count { $0 == $1 } < 10)
    }

    @Test func `tells nothing of neighbours`() {
        let order = IndexOrder(seed: Self.seed)
        let indices = (0..<UInt32(4096)).map { Int64(order.index(of: $0)) }
        let steps = zip(indices, indices.dropFirst()).map { abs($0 - $1) }
        // Of two numbers drawn at random, a third of the range.
        let mean = Double(steps.reduce(0, +)) / Double(steps.count) / Double(StatusIndex.listSize)
        #expect(abs(mean - 1.0 / 3) < 0.02)
        #expect(steps.count { $0 < 1024 } < 30)
        #expect(Set(indices.map { $0 & 1023 }).count > 900)
        #expect(Set(indices.map { $0 >> 10 }).count > 900)
    }
}
