import JOSE
import Postgres
import Testing

@testable import Latchkey

@Suite("A position")
struct FeedPositionTests {
    private static let epoch = "0b9c6b1e-3b1f-4c7a-9d63-5f0f3a0c1d2e"

    @Test func `is read as it was written`() throws {
        for seq: Int64 in [0, 1, 42, .max] {
            let position = FeedPosition(
                epoch: try #require(UniqueID(text: Self.epoch)), seq: seq, digest: Array(0..<32))
            #expect(position.word == "\(Self.epoch).\(seq).AAECAwQFBgcICQoL")
            #expect(FeedPosition(word: position.word) == position)
        }
    }

    @Test(arguments: [
        "", ".", "..", "x", "\(epoch)", "\(epoch).1", "\(epoch).1.", "\(epoch)..AAECAwQFBgcICQoL",
        "\(epoch).1.AAECAwQFBgcICQo", "\(epoch).1.AAECAwQFBgcICQoLAA", "\(epoch).1.AAECAwQFBgcICQo=",
        "\(epoch).1.AAECAwQFBgcICQoL.", "\(epoch).01.AAECAwQFBgcICQoL", "\(epoch).+1.AAECAwQFBgcICQoL",
        "\(epoch).-1.AAECAwQFBgcICQoL", "\(epoch).1 .AAECAwQFBgcICQoL", "\(epoch).9223372036854775808.AAECAwQFBgcICQoL",
        "\(epoch.uppercased()).1.AAECAwQFBgcICQoL", "\(epoch).١.AAECAwQFBgcICQoL", " \(epoch).1.AAECAwQFBgcICQoL",
    ])
    func `is spelled in one way`(word: String) {
        #expect(FeedPosition(word: word) == nil)
    }

    @Test func `knows its digest from another's`() throws {
        let position = FeedPosition(epoch: try #require(UniqueID(text: Self.epoch)), seq: 7, digest: Array(0..<32))
        #expect(position.has(.init(Array(0..<32))))
        #expect(!position.has(.init(Array(1..<33))))
        #expect(!position.has(nil))
    }
}
