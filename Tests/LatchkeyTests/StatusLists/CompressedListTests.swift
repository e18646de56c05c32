import Foundation
import JOSE
import Testing

@testable import Latchkey

/// The vectors are those of draft-ietf-oauth-status-list, §4.1 and Appendix C.1.
@Suite("A compressed status list")
struct CompressedListTests {
    @Test func `is the draft's first example`() throws {
        let statuses: [UInt32] = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
        let indices = statuses.indices.filter { statuses[$0] == 1 }.map { UInt32($0) }
        let text = CompressedList.text(indices, size: 16)
        #expect(text == "eNrbuRgAAhcBXQ")
        #expect(try ReceivedStatusList.inflated(text) == [0xB9, 0xA3])
        #expect(Self.hexadecimal(try #require(Base64URL.decode(text.utf8))) == "78dadbb918000217015d")
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
        return text
    }

    /// 2^20 bits.
    private static let appendix: [UInt32] = [
        0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1_000_345,
    ]

    private static let appendixBytes = """
        78daeddc010dc0200c0041a88249400ad2903e0f4bba00bd93f002beb7a2a2010000a91e09000000000000000000000000000000807296\
        04000000000000000000000000000000000000000000000000000000000000000000000000000000005c6f4800000000000000fc2c2400\
        00000000000000000000be1b12000000000000000000ecaa4b000000000000000000000000000000009b0b0900000000000000000038de\
        9400000000000000002a30cc010000000080642f0bd8011b
        """

    @Test func `is the draft's vector of 2^20 bits`() throws {
        let text = CompressedList.text(Self.appendix)
        let bytes = try #require(Base64URL.decode(text.utf8))
        #expect(Self.hexadecimal(bytes) == Self.appendixBytes)
        let bits = try ReceivedStatusList.inflated(text)
        #expect(bits.count == 131_072)
        var set: [UInt32] = []
        for index in 0..<UInt32(bits.count * 8) {
            let isSet = bits[Int(index / 8)] & (1 << UInt8(index % 8)) != 0
            if isSet { set.append(index) }
        }
        #expect(set == Self.appendix)
    }

    /// Set bits of 2^20, bytes at most, milliseconds at most on a machine that does much else at the same time.
    @Test(arguments: [(0, 300, 100), (1_000, 4_000, 200), (100_000, 110_000, 1_000), (524_288, 176_000, 1_000)])
    func `is small, and made in little time`(set: Int, bytes: Int, milliseconds: Int) throws {
        let order = IndexOrder(seed: [UInt8](repeating: 7, count: 16))
        let indices = (0..<UInt32(set)).map { order.index(of: $0) }
        let begun = ContinuousClock.now
        let text = CompressedList.text(indices)
        let took = ContinuousClock.now - begun
        #expect(text.utf8.count <= bytes)
        #expect(took < .milliseconds(milliseconds), "\(text.utf8.count) bytes in \(took)")
        #expect(try ReceivedStatusList.inflated(text).reduce(0) { $0 + $1.nonzeroBitCount } == set)
        if ProcessInfo.processInfo.environment["LATCHKEY_STATUS_FIGURES"] != nil {
            print("STATUS-LIST set \(set): \(text.utf8.count) bytes, \(took)")
        }
    }
}
