package import JOSE
package import Logging
import Postgres
import ServiceLifecycle

/// The node's heartbeat (rule "freshness"). Every 500 ms: note the boot clock, write the node's own row (a commit that
/// proves a living primary), read head, entries, key ring version and time from one snapshot, apply, and only then claim
/// that all that was acknowledged before is known. A notification makes it read early, without a claim.
package struct NodeTick: Service {
    package static let interval: Duration = .milliseconds(500)

    private let list: RevocationList
    private let node: UniqueID
    private let version: String
    private let masterKeys: @Sendable () -> [Int16]
    private let settings: SettingsInForce
    private let logger: Logger
    private let onReading: @Sendable (RevocationList.Reading) async -> Void
    private let onRead: @Sendable () -> Void

    /// - Parameters:
    ///   - masterKeys: the versions that this node holds, asked at every tick.
    ///   - settings: this node's own, by which it serves.
    ///   - onReading: what follows the list's tick: the key ring. A node that claims to know every revocation knows the keys
    ///     of its tokens, too.
    ///   - onRead: what tells of the list, once it is claimed: the feed.
    package init(
        _ list: RevocationList, node: UniqueID, version: String, masterKeys: @escaping @Sendable () -> [Int16],
        settings: SettingsInForce, logger: Logger,
        onReading: @escaping @Sendable (RevocationList.Reading) async -> Void, onRead: @escaping @Sendable () -> Void
    ) {
        self.list = list
        self.version = version
        self.masterKeys = masterKeys
        self.settings = settings
        self.logger = logger
        self.onReading = onReading
        self.onRead = onRead
        self.node = node
    }

    /// One whole tick. Throws where the database did not answer: nothing is claimed then.
    package func tick() async throws {
        if list.clock.reading == nil {
            let (step, settling) = try await list.readClock()
            if let step { tell(step, settling: settling) }
        }
        let begun = BootInstant.now()
        let reading = try await list.read(on: list.pulse, behind: row)
        // At a start, and for a node that slept while others narrowed the row.
        if !reading.inForce.covers(settings) { try await list.widen(by: settings) }
        await follow(reading)
        let age = list.age
        list.claim(completeAsOf: begun, by: reading)
        if let age, age >= RevocationList.staleAfter {
            list.late.add()
            logger.error(
                "the tick fell behind: this node could not judge or mint", metadata: ["seconds": "\(Double(age) / 1e9)"]
            )
        }
        onRead()
    }

    /// The node's own row, as it stands now.
    private var row: Query {
        RevocationSQL.tick(
            node: node, version: version, masterKeys: masterKeys(), settings: settings,
            carried: list.clock.reading?.now, step: list.clock.step)
    }

    private func follow(_ reading: RevocationList.Reading) async {
        switch list.takeUntold() {
        case nil, .continued: break
        case .another: logger.error("the revocation list has another history than this node knew: it was read anew")
        case .begun:
            logger.error(
                "history was lost (the database was restored, cloned or failed over): every session and token from before is void"
            )
        }
        if let step = reading.step {
            tell(step, settling: reading.inForce.settling)
            // At once: others may not have noticed, or start without having seen the clock before. The next tick repeats
            // it where this fails.
            _ = try? await list.pulse.query(row)
        }
        await onReading(reading)
    }

    /// - Parameter settling: in seconds.
    private func tell(_ step: SteadyClock.Step, settling: Int64) {
        logger.error(
            "the database's clock was stepped: no key ripens, rotates by schedule or leaves until it has settled",
            metadata: ["seconds": "\(Double(step.moved) / 1e6)", "settles_in": "\(settling)"])
    }

    /// Returns at graceful shutdown; never throws for the database's sake: a node that cannot tick says so by being
    /// stale, and heals by itself.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await tickForever() }
                group.addTask { await followNotifications() }
            }
        }
    }

    private func tickForever() async {
        var wasFailing = false
        while !Task.isCancelled {
            do {
                try await tick()
                if wasFailing { logger.notice("the database answers again") }
                wasFailing = false
            } catch is CancellationError {
                return
            } catch {
                if Task.isCancelled { return }
                if !wasFailing { logger.error("the database does not answer", metadata: ["error": "\(error)"]) }
                wasFailing = true
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func followNotifications() async {
        for await _ in list.database.notifications(on: "latchkey_revocations") {
            if Task.isCancelled { return }
            // A failure shows in the next tick.
            guard let reading = try? await list.read(on: list.pulse) else { continue }
            await follow(reading)
            onRead()
        }
    }
}
