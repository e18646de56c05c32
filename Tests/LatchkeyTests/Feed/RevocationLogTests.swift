import JOSE
import Postgres
import Testing

@testable import Latchkey

@Suite("The list in its order")
struct RevocationLogTests {
    private static func id(_ number: Int) -> UniqueID {
        .version7(millisecondsSince1970: Int64(number), random: [UInt8](repeating: 0, count: 10))
    }

    private static func entry(_ seq: Int, expires: Int64 = 1000) -> RevocationEntry {
        RevocationEntry(kind: seq % 2 == 0 ? .jti : .sid, id: id(seq), expiresAt: Instant(seconds: expires - 1))
    }

    private static func kid(_ letter: Character) -> String { String(repeating: letter, count: 43) }

    /// Numbers of ids, letters of keys: `+` revoked, `-` lifted.
    private static func read(_ extract: RevocationLog.Extract) -> [String] {
        var found: [String] = []
        for piece in extract.pieces {
            var rest = piece[...]
            var kinds = Set<Bool>()
            while let kind = rest.first {
                kinds.insert(kind == 4)
                let form = Array(rest.prefix(kind < 3 ? 21 : 44))
                rest = rest.dropFirst(form.count)
                switch kind {
                case 1, 2: found.append("\(form[1..<7].reduce(0) { $0 << 8 | Int($1) })")
                case 3: found.append("+" + String(decoding: form[1...1], as: UTF8.self))
                default: found.append("-" + String(decoding: form[1...1], as: UTF8.self))
                }
            }
            #expect(kinds.count == 1, "a piece holds lifts alone or none")
        }
        #expect(extract.count == found.count)
        return found
    }

    /// 1…9, with keys at 3, 4, 7.
    private static func sample() -> RevocationLog {
        var log = RevocationLog()
        for seq in [1, 2, 5, 6, 8, 9] { log.append(entry(seq, expires: seq == 6 ? 100 : 1000), at: Int64(seq)) }
        log.append(KeyEntry(kind: .kid, keyID: kid("a"), seq: 3))
        log.append(KeyEntry(kind: .kid, keyID: kid("b"), seq: 4))
        log.append(KeyEntry(kind: .lift, keyID: kid("a"), seq: 7))
        return log
    }

    private static let all = ["1", "2", "+a", "+b", "5", "6", "-a", "8", "9"]

    @Test(arguments: 0...9) func `from any position to any is what lies between`(after: Int) {
        for end in after...9 {
            let extract = Self.sample().extract(after: Int64(after), through: Int64(end), now: nil)
            #expect(Self.read(extract) == Array(Self.all[after..<end]), "\(after) to \(end)")
        }
    }

    @Test func `as a whole holds no lift, no key that was lifted, nothing expired`() {
        #expect(
            Self.read(Self.sample().extract(after: nil, through: 9, now: nil)) == ["1", "2", "+b", "5", "6", "8", "9"])
        #expect(Self.read(Self.sample().extract(after: nil, through: 9, now: 99)).contains("6"))
        #expect(Self.read(Self.sample().extract(after: nil, through: 9, now: 100)) == ["1", "2", "+b", "5", "8", "9"])
        #expect(Self.read(Self.sample().extract(after: nil, through: 4, now: 100)) == ["1", "2", "+a", "+b"])
        #expect(Self.read(Self.sample().extract(after: 4, through: 9, now: 1000)) == ["-a"])
    }

    @Test func `takes each position once, whichever of two readings comes first`() {
        var log = RevocationLog()
        for seq in [1, 2, 3, 2, 3, 1, 4] { log.append(Self.entry(seq), at: Int64(seq)) }
        log.append(KeyEntry(kind: .kid, keyID: Self.kid("a"), seq: 5))
        log.append(KeyEntry(kind: .kid, keyID: Self.kid("a"), seq: 5))
        #expect(Self.read(log.extract(after: 0, through: 5, now: nil)) == ["1", "2", "3", "4", "+a"])
    }

    @Test func `forgets what has expired, and nothing else`() {
        var log = RevocationLog()
        for seq in 1...1200 { log.append(Self.entry(seq, expires: seq <= 600 ? 100 : 200), at: Int64(seq)) }
        log.append(Self.entry(2000, expires: 100), at: 2000)
        log.removeExpired(now: 99)
        #expect(log.count == 1201)
        log.removeExpired(now: 100)
        // A run that holds one that lives stays whole.
        #expect(log.count == 700)
        #expect(Self.read(log.extract(after: nil, through: 2000, now: 100)) == (601...1200).map { "\($0)" })
        #expect(log.count(after: 1000) <= 200)
        log.removeExpired(now: 200)
        #expect(log.count == 0)
    }

    @Test func `is not changed under who reads it`() {
        var log = Self.sample()
        let before = log
        log.append(Self.entry(10), at: 10)
        #expect(Self.read(before.extract(after: 0, through: 10, now: nil)) == Self.all)
        #expect(Self.read(log.extract(after: 8, through: 10, now: nil)) == ["9", "10"])
    }

    @Test func `never expires beyond 32 bits`() {
        var log = RevocationLog()
        log.append(Self.entry(1, expires: 1 << 40), at: 1)
        log.removeExpired(now: 1 << 41)
        #expect(Self.read(log.extract(after: nil, through: 1, now: 1 << 41)) == ["1"])
    }
}
