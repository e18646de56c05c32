import Testing

@testable import LatchkeyVerifier

@Suite struct KeyCacheStates {
    private let second: Int64 = 1_000_000_000

    @Test func `the first fetch is due at once, the next when the answer has grown old`() {
        var state = KeyCacheState()
        #expect(state.nextFetch <= -1)
        state.begun(now: 5 * second)
        state.succeeded(now: 6 * second, maxAge: 300)
        #expect(state.nextFetch == 306 * second && !state.isFetching)
    }

    @Test(
        "an age that says too little or too much is not believed",
        arguments: zip([nil, 0, -5, 1, 86_400, 10_000_000] as [Int64?], [300, 1, 1, 1, 86_400, 86_400] as [Int64]))
    func ages(maxAge: Int64?, seconds: Int64) {
        var state = KeyCacheState()
        state.succeeded(now: 0, maxAge: maxAge)
        #expect(state.nextFetch == seconds * second)
    }

    @Test func `who asks for an unknown key joins a fetch, starts one, or is refused for a while`() {
        var state = KeyCacheState()
        #expect(state.unknownKey(now: 0) == .ask)
        #expect(state.unknownKey(now: 0) == .wait)
        state.begun(now: 0)
        #expect(state.unknownKey(now: second) == .wait)
        state.succeeded(now: 2 * second, maxAge: 300)
        for now in 2...9 { #expect(state.unknownKey(now: Int64(now) * second) == .refuse) }
        #expect(state.nextFetch == 302 * second)
        #expect(state.unknownKey(now: 10 * second) == .ask)
        #expect(state.nextFetch == 10 * second)
        // All who ask before it begins share it.
        for _ in 0..<5 { #expect(state.unknownKey(now: 10 * second) == .wait) }
        state.begun(now: 11 * second)
        state.failed(now: 12 * second, jitter: 0)
        #expect(state.unknownKey(now: 12 * second) == .refuse)
        #expect(state.unknownKey(now: 12 * second + second / 2) == .ask)
    }

    @Test func `failures are repeated ever more seldom, up to a minute`() {
        var state = KeyCacheState()
        var pauses: [Int64] = []
        for _ in 0..<9 {
            state.begun(now: 0)
            state.failed(now: 0, jitter: 1)
            pauses.append(state.nextFetch / second)
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60])
        state.succeeded(now: 0, maxAge: 5)
        state.failed(now: 0, jitter: 0)
        #expect(state.nextFetch == second / 2)
    }

    @Test(
        "Cache-Control and Age say how long",
        arguments: [
            ([], nil, nil), (["max-age=300"], nil, 300), (["public, MAX-AGE=300"], "100", 200),
            (["public", " max-age=60 , must-revalidate"], " 10 ", 50), (["max-age=60"], "100", 0),
            (["max-age=60"], "-5", 60), (["max-age=60"], "x", 60), (["max-age=+60"], nil, nil),
            (["max-age=99999999999"], nil, nil), (["s-maxage=5"], nil, nil), (["no-store, max-age=60"], nil, 0),
            (["no-cache"], nil, 0), (["max-age=\"60\""], nil, nil),
        ] as [([String], String?, Int64?)])
    func cacheControl(row: ([String], String?, Int64?)) {
        #expect(CacheControl.seconds(row.0, age: row.1) == row.2)
    }

    @Test func `a verifier introduces itself in a dictionary of RFC 8941`() {
        #expect(KeyCache.introduction("orders/1", []) == "name=\"orders/1\", kids=()")
        #expect(KeyCache.introduction("o", ["a", "b\"", "c\\", "é", "d"]) == "name=\"o\", kids=(\"a\" \"d\")")
        let many = (0..<40).map { "k\($0)" }
        #expect(KeyCache.introduction("o", many).utf8.split(separator: 0x20).count == 17)
    }
}
