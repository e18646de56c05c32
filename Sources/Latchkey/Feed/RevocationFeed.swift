package import JOSE
import NIOCore
package import Postgres
import ServiceLifecycle

/// The revocation feed of this node (rule "freshness"): whole lists, what came behind a position, and the stream. It owns
/// the messages, their signature and who follows; what they tell of is the list's, of which it asks nothing but what was
/// read. However many follow, the database has no more to do, and an event is encoded and signed once for all of them. Who
/// comes with a position that this node has not stood at itself costs one look-up.
package final class RevocationFeed: Service {
    let list: RevocationList
    package let key: FeedKey
    let source: FeedSource
    let lists: FeedLists
    let compression = FeedCompression()
    let ring = FeedRing()
    let readings = FeedReadings()
    /// Of those that are no small matter to hold until they are written: each may pin a list of its own.
    let longAnswers = FeedPlaces(most: 128)
    private let nudges: AsyncStream<Void>
    private let nudge: AsyncStream<Void>.Continuation

    /// How often is looked whether a heartbeat is due.
    private static let beat: Duration = .milliseconds(250)
    /// Nanoseconds without an event after which one is due: with the next look it is within the second.
    private static let mostSilence: Int64 = 700_000_000

    package init(
        _ list: RevocationList, pulse: Database, masterKeys: MasterKeyRing, node: UniqueID, issuer: String
    ) {
        self.list = list
        let key = FeedKey(pulse, masterKeys: masterKeys)
        self.key = key
        source = FeedSource(node: node, issuer: issuer, key: key)
        lists = FeedLists(list)
        (nudges, nudge) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// The list was read: whoever follows hears of what is new.
    package func listWasRead() {
        readings.wake()
        nudge.yield()
    }

    package var followers: Int { ring.followers }
    package var cutOff: Counter { ring.cutOff }

    /// Publishes until graceful shutdown; then every stream and held answer ends at once.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.publishForever() }
                group.addTask {
                    while !Task.isCancelled {
                        self.ring.expire(now: .now())
                        self.readings.wake()
                        self.nudge.yield()
                        try? await Task.sleep(for: Self.beat)
                    }
                }
            }
        }
        ring.close()
        readings.close()
    }

    private func publishForever() async {
        var history: Int?
        var sent = BootInstant.now()
        for await _ in nudges {
            guard !Task.isCancelled else { return }
            let isDue = BootInstant.now() - sent >= Self.mostSilence
            guard let extract = list.extract else {
                if isDue {
                    ring.append(Self.event(FeedEvent.stale(nil, by: source), nil))
                    sent = .now()
                }
                continue
            }
            let standing = FeedRing.Standing(position: extract.position, claim: extract.claim)
            guard extract.history == history, let before = ring.standing else {
                history = extract.history
                ring.restart(Self.event(FeedEvent.resync(.history), nil), at: standing)
                continue
            }
            let hasMoved = before.position != extract.position
            guard hasMoved || isDue, !ring.skip(to: standing) else { continue }
            if !hasMoved, BootInstant.now() - extract.claim.asOf >= RevocationList.staleAfter {
                ring.append(Self.event(FeedEvent.stale(extract.claim, by: source), nil))
                sent = .now()
                continue
            }
            // Without a key there is nothing that a follower would believe; a node does not start without one.
            guard let bytes = try? FeedEvent.message(message(extract, after: before.position, nonce: nil), by: source)
            else { continue }
            ring.append(Self.event(bytes, standing))
            sent = .now()
            if hasMoved { try? await Task.sleep(for: pace) }
        }
    }

    private static func event(_ bytes: [UInt8], _ standing: FeedRing.Standing?) -> FeedRing.Event {
        FeedRing.Event(bytes: ByteBuffer(bytes: bytes), standing: standing)
    }

    /// The first revocation after a pause goes out at once; what comes right behind it is gathered, the longer the more
    /// follow, since each event is a write for each of them.
    private var pace: Duration { .microseconds(min(250_000, max(5_000, ring.followers * 100))) }

    /// What the list holds behind `position`, which it has gone through.
    func message(_ extract: RevocationList.Extract, after position: FeedPosition, nonce: String?) -> FeedMessage {
        FeedMessage(
            position: extract.position, after: position, claim: extract.claim,
            entries: .init(
                extract.log.extract(
                    after: position.seq, through: extract.position.seq, now: list.clock.reading?.settled.seconds)),
            nonce: nonce)
    }
}
