import Testing

@testable import Latchkey

/// Standbys stay sealed until they are needed: how often a round of the schedule opens them.
@Suite("A look at the standbys")
struct StandbyLooksTests {
    private struct Given {
        var keys: [SigningKey]
        var isAboutToSign = false
        /// Found by the look, if there is one.
        var unfit: [String] = []
    }

    /// Whether each of two rounds looked, and what the second one goes by.
    private func rounds(_ first: Given, _ second: Given) async -> (looks: [Bool], unfit: [String]) {
        let looks = StandbyLooks()
        var (looked, unfit): ([Bool], [String]) = ([], [])
        for given in [first, second] {
            var isAsked = false
            unfit = await looks.unfit(of: given.keys, isAboutToSign: given.isAboutToSign) {
                isAsked = true
                return given.unfit
            }
            looked.append(isAsked)
        }
        return (looked, unfit)
    }

    private func standby(_ kid: String, _ holder: KeyHolder = .database) throws -> SigningKey {
        var key = try DrawnKey(kid: kid, published: -100).key()
        key.holder = holder
        return key
    }

    @Test(arguments: [KeyHolder.database, .token])
    func `is taken once where nothing changes`(holder: KeyHolder) async throws {
        let keys = [try standby("a", holder), try standby("b", holder), try DrawnKey(kid: "unread").key()]
        let (looks, unfit) = await rounds(Given(keys: keys), Given(keys: keys, unfit: ["a"]))
        #expect(looks == [true, false] && unfit == [])
    }

    @Test func `is taken again where another one stands there, or one about to sign`() async throws {
        let (a, b) = (try standby("a"), try standby("b"))
        for second in [
            Given(keys: [a, b], unfit: ["a"]), Given(keys: [], unfit: ["a"]),
            Given(keys: [a], isAboutToSign: true, unfit: ["a"]),
        ] {
            let (looks, unfit) = await rounds(Given(keys: [a]), second)
            #expect(looks == [true, true] && unfit == ["a"])
        }
    }

    @Test func `is taken in each round while one that is sealed here does not open: its master key may come`()
        async throws
    {
        let keys = [try standby("a"), try standby("b")]
        let (looks, unfit) = await rounds(Given(keys: keys, unfit: ["a"]), Given(keys: keys))
        #expect(looks == [true, true] && unfit == [])
    }

    @Test func `is not taken in each round for one that its token has lost: the module would begin anew each time`()
        async throws
    {
        let keys = [try standby("a", .token), try standby("b", .token)]
        let (looks, unfit) = await rounds(Given(keys: keys, unfit: ["a"]), Given(keys: keys))
        #expect(looks == [true, false] && unfit == ["a"])
    }
}
