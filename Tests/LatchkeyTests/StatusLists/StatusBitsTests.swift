import JOSE
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("The bits that are set")
struct StatusBitsTests {
    private static let epoch = UniqueID.version7(millisecondsSince1970: 1, random: [UInt8](repeating: 1, count: 10))
    private static let one = StatusListID(1)
    private static let two = StatusListID(2)
    private static let boot = BootInstant(nanoseconds: 1_000_000_000)

    private static func sid(_ list: StatusListID, _ index: UInt32) -> UniqueID {
        StatusIndex(list: list, index: index).id(millisecondsSince1970: 5, random: SecureRandom.bytes(3))
    }

    private static func entry(
        _ id: UniqueID, _ kind: RevocationEntry.Kind = .sid, expires: Int64 = 2_000
    ) -> RevocationEntry {
        RevocationEntry(kind: kind, id: id, expiresAt: Instant(seconds: expires - 1))
    }

    private static func extract(_ log: RevocationLog, _ seq: Int64, history: Int = 0) -> RevocationList.Extract {
        .init(
            position: FeedPosition(epoch: epoch, seq: seq, digest: [UInt8](repeating: 0, count: 32)),
            claim: .init(asOf: boot, time: Instant(seconds: 1_000)), log: log, history: history)
    }

    @Test func `are those of sessions and epochs, in the list that their id names`() {
        var log = RevocationLog()
        log.append(Self.entry(Self.sid(Self.one, 7)), at: 1)
        log.append(Self.entry(Self.sid(Self.two, 8)), at: 2)
        // A token's own id has no bit, whatever its version; nor has a session from before there were any.
        log.append(Self.entry(Self.sid(Self.one, 9), .jti), at: 3)
        log.append(Self.entry(.version7(millisecondsSince1970: 5, random: SecureRandom.bytes(10))), at: 4)
        log.append(KeyEntry(kind: .kid, keyID: String(repeating: "k", count: 43), seq: 5))
        log.append(Self.entry(Self.sid(Self.one, 1_048_575)), at: 6)
        let bits = StatusBits(Self.extract(log, 6), now: 1_000, replacing: nil, version: 1, at: Self.boot)
        #expect(bits[Self.one].indices == [7, 1_048_575])
        #expect(bits[Self.two].indices == [8])
        #expect(bits[StatusListID(3)].indices == [])
    }

    @Test func `grow by what was read since, and by nothing that was not`() {
        var log = RevocationLog()
        log.append(Self.entry(Self.sid(Self.one, 1)), at: 1)
        var bits = StatusBits(Self.extract(log, 1), now: 1_000, replacing: nil, version: 1, at: Self.boot)
        let before = (bits[Self.one].version, bits[Self.two].version)
        log.append(Self.entry(Self.sid(Self.two, 2)), at: 2)
        log.append(Self.entry(Self.sid(Self.two, 3)), at: 3)
        // The node's log is ahead of what was read.
        let next = Self.extract(log, 2)
        #expect(bits.leads(to: next, at: Self.boot))
        bits.follow(next, version: 2)
        #expect(bits[Self.one].version == before.0)
        #expect(bits[Self.two].version != before.1)
        #expect(bits[Self.two].indices == [2])
        bits.follow(next, version: 3)
        #expect(bits[Self.two].version == 2)
        #expect(bits[Self.two].indices == [2])
        bits.follow(Self.extract(log, 3), version: 4)
        #expect(bits[Self.two].indices == [2, 3])
    }

    @Test func `begin anew after a minute, in another history, and where the list went back`() {
        let log = RevocationLog()
        let bits = StatusBits(Self.extract(log, 5), now: 1_000, replacing: nil, version: 1, at: Self.boot)
        func at(_ seconds: Int64) -> BootInstant {
            BootInstant(nanoseconds: Self.boot.nanoseconds + seconds * 1_000_000_000)
        }
        #expect(bits.leads(to: Self.extract(log, 5), at: at(59)))
        #expect(!bits.leads(to: Self.extract(log, 5), at: at(60)))
        #expect(!bits.leads(to: Self.extract(log, 6, history: 1), at: at(1)))
        #expect(!bits.leads(to: Self.extract(log, 4), at: at(1)))
    }

    @Test func `are cleared when the entry has expired, and only then do the others count as changed`() {
        var log = RevocationLog()
        log.append(Self.entry(Self.sid(Self.one, 1), expires: 1_500), at: 1)
        log.append(Self.entry(Self.sid(Self.two, 2), expires: 2_000), at: 2)
        let old = StatusBits(Self.extract(log, 2), now: 1_000, replacing: nil, version: 1, at: Self.boot)
        let same = StatusBits(Self.extract(log, 2), now: 1_499, replacing: old, version: 2, at: Self.boot)
        #expect(same[Self.one].version == old[Self.one].version)
        let new = StatusBits(Self.extract(log, 2), now: 1_500, replacing: same, version: 3, at: Self.boot)
        #expect(new[Self.one].indices == [])
        #expect(new[Self.one].version != old[Self.one].version)
        #expect(new[Self.two] == old[Self.two])
        // A bit that comes later is another version again.
        log.append(Self.entry(Self.sid(Self.one, 1), expires: 3_000), at: 3)
        var later = new
        later.follow(Self.extract(log, 3), version: 4)
        #expect(later[Self.one].indices == [1])
        #expect(![old[Self.one].version, new[Self.one].version].contains(later[Self.one].version))
    }

    /// As where the other queue has the bits before.
    @Test func `made anew beside others are of another version than any of theirs`() {
        var log = RevocationLog()
        log.append(Self.entry(Self.sid(Self.one, 1)), at: 1)
        let first = StatusBits(Self.extract(log, 1), now: 1_000, replacing: nil, version: 1, at: Self.boot)
        log.append(Self.entry(Self.sid(Self.one, 2)), at: 2)
        let anew = StatusBits(Self.extract(log, 2), now: 1_000, replacing: nil, version: 2, at: Self.boot)
        var grown = first
        grown.follow(Self.extract(log, 2), version: 3)
        #expect(anew[Self.one].indices == grown[Self.one].indices)
        #expect([first, anew, grown].map { $0[Self.one].version } == [1, 2, 3])
    }
}
