import JOSE
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("The ids that a node refuses")
struct RevokedIDsTests {
    private static func entry(_ id: UniqueID, expires: Int64) -> RevocationEntry {
        RevocationEntry(kind: .sid, id: id, expiresAt: Instant(seconds: expires - 1))
    }

    private static func random() -> UniqueID {
        .version7(millisecondsSince1970: 1_800_000_000_000, random: SecureRandom.bytes(10))
    }

    /// (An expectation that names the ids themselves would print them all.)
    private static func held(_ known: [UniqueID], in ids: RevokedIDs) -> [Bool] { known.map { ids.contains($0) } }

    /// The slower way to the same end.
    private struct Model {
        var present: [UniqueID: Int64] = [:]
        var kept: [UniqueID: Int64] = [:]

        mutating func removeExpired(now: Int64) {
            present = present.filter { $0.value > now }
            kept = kept.filter { $0.value > now }
        }

        var ids: Set<UniqueID> { Set(present.keys).union(kept.keys) }
    }

    @Test("are those of a dictionary, whatever is read, written, lost and forgotten", arguments: 0..<8)
    func model(seed: Int) async {
        // Just before the numbers of runs wrap around.
        var ids = RevokedIDs(firstRun: UInt32.max >> 9 - 1)
        var (model, seq, now) = (Model(), Int64(0), Int64(0))
        var known: [UniqueID] = []
        func sweep() { for part in 0..<RevocationIndex.partCount { ids.sweep(part: part) } }
        for step in 0..<60 {
            // Nodes tick on the threads that this would keep.
            await Task.yield()
            switch Int.random(in: 0..<10) {
            case 0:
                ids.beginHistory()
                model.kept.merge(model.present) { max($0, $1) }
                (model.present, seq) = ([:], 0)
            case 1, 2:
                now += Int64.random(in: 0...40)
                // A run goes as one, and never before its last entry: who reads the model's way must not miss one.
                if ids.removeExpired(now: now) { sweep() }
                model.removeExpired(now: now)
            default:
                let expires = now + Int64.random(in: 20...60)
                for _ in 0..<Int.random(in: 1...1500) {
                    let id = Self.random()
                    known.append(id)
                    if Int.random(in: 0..<50) == 0 {
                        ids.insert(own: Self.entry(id, expires: expires))
                        if Bool.random() {
                            model.kept[id] = expires
                            continue
                        }
                    }
                    // Positions of keys lie between.
                    seq += Int.random(in: 0..<300) == 0 ? 2 : 1
                    ids.read(Self.entry(id, expires: expires), at: seq)
                    model.present[id] = expires
                }
            }
            let alive = model.ids
            let missed = known.shuffled().prefix(500).count { alive.contains($0) && !ids.contains($0) }
            #expect(missed == 0, "step \(step)")
            let invents = ids.contains(Self.random())
            #expect(!invents)
        }
        now += 100
        _ = ids.removeExpired(now: now)
        sweep()
        #expect(ids.count == 0)
        let kept = known.count { ids.contains($0) }
        #expect(kept == 0)
    }

    @Test func `take no more than 33 bytes each, and give them back`() {
        var ids = RevokedIDs()
        var known: [UniqueID] = []
        for seq in 1...200_000 {
            let id = Self.random()
            if seq % 1000 == 0 { known.append(id) }
            ids.read(Self.entry(id, expires: seq <= 100_000 ? 100 : 200), at: Int64(seq))
            if seq % 40_000 == 0 {
                let bytes = ids.present.heldBytes
                #expect(bytes <= seq * 33)
            }
        }
        // Found in a few steps: clusters of a table that is seven eighths full are some dozens long.
        let way = ids.present.longestWay
        #expect(way < 300)
        let (count, missed) = (ids.count, known.count { !ids.contains($0) })
        #expect(count == 200_000 && missed == 0)
        let isLess = ids.removeExpired(now: 100)
        #expect(isLess)
        // Before the index was swept, too.
        #expect(Self.held(known, in: ids) == known.indices.map { $0 >= 100 })
        for part in 0..<RevocationIndex.partCount { ids.sweep(part: part) }
        #expect(Self.held(known, in: ids) == known.indices.map { $0 >= 100 })
        let left = ids.present.heldBytes
        #expect(left <= 100_000 * 33)
        let isLessAgain = ids.removeExpired(now: 199)
        #expect(!isLessAgain)
    }

    @Test func `of this node's own stand until they are read, or expire`() {
        var ids = RevokedIDs()
        let (read, unread) = (Self.random(), Self.random())
        for id in [read, unread] { ids.insert(own: Self.entry(id, expires: 100)) }
        #expect(ids.count == 2 && ids.contains(read) && ids.contains(unread))
        ids.read(Self.entry(read, expires: 100), at: 1)
        ids.insert(own: Self.entry(read, expires: 100))
        #expect(ids.count == 2)
        ids.beginHistory()
        #expect(ids.contains(read) && ids.contains(unread) && ids.present.log.count == 0)
        ids.read(lost: Self.entry(.init(high: 1, low: 2), expires: 1 << 40))
        _ = ids.removeExpired(now: 100)
        #expect(!ids.contains(read) && !ids.contains(unread) && ids.contains(.init(high: 1, low: 2)))
    }
}
