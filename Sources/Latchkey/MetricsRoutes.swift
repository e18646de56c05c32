import Foundation
import HTTPTypes
import Hummingbird
import LibCrypto
import Postgres

/// `GET /metrics`, on the management port alone: what this node counts and measures, in Prometheus' text format 0.0.4.
/// `docs/operations.md` describes each family and the alerts on them.
struct MetricsRoutes: Sendable {
    private let installation: Installation
    private let traffic: HTTPTraffic
    private let edge: EdgeTraffic

    init(_ installation: Installation, traffic: HTTPTraffic, edge: EdgeTraffic) {
        self.installation = installation
        self.traffic = traffic
        self.edge = edge
    }

    func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/metrics") { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: .init(byteBuffer: ByteBuffer(string: await page())))
        }
    }

    private func page() async -> String {
        var page = Exposition()
        requests(in: &page)
        sessions(in: &page)
        hashing(in: &page)
        await database(in: &page)
        feed(in: &page)
        keys(in: &page)
        process(in: &page)
        return page.text
    }

    private func requests(in page: inout Exposition) {
        let routes = traffic.readings
        page.family("latchkey_http_requests_total", .counter, "Requests answered, by the route's template.")
        for route in routes {
            for (method, status, count) in route.answers {
                page.sample(count, ("route", route.template), ("method", method), ("status", status))
            }
        }
        page.family("latchkey_http_request_duration_seconds", .histogram, "From the request's head to the answer's.")
        for route in routes {
            let (buckets, sum) = route.durations.reading
            page.histogram(bounds: Histogram.seconds, buckets: buckets, sum: sum, ("route", route.template))
        }
        page.family("latchkey_http_requests_in_flight", .gauge, "Requests that are not answered yet.")
        page.sample(traffic.inFlightCount)
        page.family("latchkey_http_refused_total", .counter, "Requests refused before they were whole, by why.")
        page.samples(edge.refused, by: "reason")
        page.family("latchkey_http_connections", .gauge, "Connections that callers hold open.")
        page.sample(edge.openCount)
        page.family(
            "latchkey_http_connections_closed_total", .counter, "Connections closed over their callers, by why.")
        page.samples(edge.closed, by: "reason")
    }

    private func sessions(in page: inout Exposition) {
        let metrics = installation.sessions.metrics
        page.family("latchkey_log_ins_total", .counter, "Logins by password, by what was answered.")
        page.samples(metrics.logIns, by: "outcome")
        page.family("latchkey_refreshes_total", .counter, "Refreshes decided, by the row of the rule.")
        page.samples(metrics.refreshes, by: "decision")
        page.family("latchkey_sessions_opened_total", .counter, "Sessions opened by this node.")
        page.sample(metrics.opened.reading)
        page.family("latchkey_sessions_ended_total", .counter, "Sessions ended by this node, by cause.")
        page.samples(metrics.ended, by: "cause")
        page.family("latchkey_revocations_total", .counter, "Entries this node put on the revocation list, by kind.")
        page.samples(installation.revocations.appended, by: "kind")
        page.samples(installation.revocations.appendedKeys, by: "kind")
    }

    private func hashing(in page: inout Exposition) {
        let hasher = installation.users.hasher
        let load = hasher.load
        page.family("latchkey_hashing_waiting", .gauge, "Passwords that wait for their hash.")
        page.sample(load.waiting)
        page.family("latchkey_hashing_running", .gauge, "Passwords that are hashed now.")
        page.sample(load.running)
        page.family("latchkey_hashing_threads", .gauge, "Threads that hash.")
        page.sample(load.threads)
        page.family("latchkey_hashes_total", .counter, "Hashes computed.")
        page.sample(hasher.counted.computed.reading)
        page.family("latchkey_hashing_refused_total", .counter, "Hashes refused because they would have come too late.")
        page.sample(hasher.counted.refused.reading)
        page.family("latchkey_signatures_total", .counter, "Access tokens signed.")
        page.sample(installation.signers.reduce(0) { $0 + $1.signed.reading })
        page.family("latchkey_signatures_waiting", .gauge, "Access tokens that wait for their signature.")
        page.sample(installation.signers.reduce(0) { $0 + $1.waitingCount })
        page.family("latchkey_signatures_refused_total", .counter, "Signatures refused because too many waited.")
        page.sample(installation.signers.reduce(0) { $0 + $1.refused.reading })
    }

    /// Nothing where this node shuts down.
    private func database(in page: inout Exposition) async {
        guard let load = try? await installation.database.load() else { return }
        page.family("latchkey_database_pool_connections", .gauge, "Connections of the pool, by state.")
        page.sample(load.leased, ("state", "leased"))
        page.sample(load.idle, ("state", "idle"))
        page.family("latchkey_database_pool_maximum", .gauge, "How many connections the pool may open.")
        page.sample(load.maximum)
        page.family("latchkey_database_pool_waiting", .gauge, "Requests that wait for a connection of the pool.")
        page.sample(load.waiting)
        page.family("latchkey_database_connections", .gauge, "Connections open or being opened, the pulse's apart.")
        page.sample(load.connections)
        page.family("latchkey_database_statements_total", .counter, "Statements sent, by the way they went.")
        page.sample(load.pooledStatements, ("lane", "pool"))
        for lane in load.lanes { page.sample(lane.groups.statements, ("lane", lane.lane.label)) }
        page.family("latchkey_database_lane_waiting", .gauge, "Statements that wait for the next commit group.")
        for lane in load.lanes { page.sample(lane.waiting, ("lane", lane.lane.label)) }
        page.family("latchkey_database_group_size", .histogram, "Statements that were committed together.")
        for lane in load.lanes {
            page.histogram(
                bounds: GroupSizes.bounds.map { Double($0) }, buckets: lane.groups.buckets,
                sum: Double(lane.groups.statements), ("lane", lane.lane.label))
        }
        page.family("latchkey_database_retried_total", .counter, "Statements run again alone: their group was voided.")
        for lane in load.lanes { page.sample(lane.retriedAlone, ("lane", lane.lane.label)) }
    }

    private func feed(in page: inout Exposition) {
        let list = installation.revocations
        page.family("latchkey_feed_position", .gauge, "The revocation list's position that this node has read.")
        page.sample(list.position?.seq ?? 0)
        page.family("latchkey_feed_age_seconds", .gauge, "Age of the proof that the list is complete; stale from 2 on.")
        page.sample(list.age.map { Double($0) / 1e9 } ?? .infinity)
        page.family(
            "latchkey_revocations_held", .gauge, "Entries in this node's set, the expired of the last minute too.")
        page.sample(list.count)
        page.family("latchkey_feed_followers", .gauge, "Streams of the feed and held answers.")
        page.sample(installation.feed.followers)
        page.family("latchkey_feed_cut_off_total", .counter, "Streams that this node ended: too slow, or resync.")
        page.sample(installation.feed.cutOff.reading)
        page.family(
            "latchkey_other_histories_total", .counter, "Times that the list was another one: commits were lost.")
        page.sample(list.otherHistories.reading)
        page.family("latchkey_ticks_late_total", .counter, "Ticks so late that the node was stale meanwhile.")
        page.sample(list.late.reading)
        page.family("latchkey_revocation_slots_overdue", .gauge, "Slots of the list's ring that could not be emptied.")
        page.sample(list.overdueSlots)
        page.family("latchkey_clock_offset_seconds", .gauge, "The database's clock less this machine's.")
        page.sample(installation.clock.offset ?? .nan)
        page.family("latchkey_clock_steps_total", .counter, "Steps of the database's clock that this node noticed.")
        page.sample(installation.clock.steps.reading)
        page.family("latchkey_clock_unsettled", .gauge, "1 while keys and the list wait for a stepped clock to settle.")
        page.sample(installation.clock.reading.map { $0.isSettled ? 0 : 1 } ?? .nan)
    }

    private func keys(in page: inout Exposition) {
        let clock = installation.clock.reading
        let now = clock?.now
        let keys = installation.ring.keys
        page.family("latchkey_signing_keys", .gauge, "Signing keys by state.")
        for state in SigningKeyState.allCases {
            page.sample(now.map { now in keys.count { $0.state(at: now) == state } } ?? 0, ("state", state.rawValue))
        }
        guard let clock else { return }
        let lead = installation.ring.policyInForce.publishLead
        // Each that signs is rotated by itself: one that cannot be must not hide behind another that can.
        let algorithms = SignatureAlgorithm.allCases.filter { KeySchedule.lastSigner(keys, $0) != nil }
        page.family(
            "latchkey_signing_keys_ripe", .gauge,
            "Standby keys that have stood their lead. Whether they open is not looked at.")
        for algorithm in algorithms {
            let ripe = keys.count { key in
                key.isStandby && key.algorithm == algorithm
                    && key.ripeAt(lead: lead).map { $0 <= clock.settled } == true
            }
            page.sample(ripe, ("algorithm", algorithm.rawValue))
        }
        page.family("latchkey_signing_key_age_seconds", .gauge, "For how long the active key has signed.")
        for algorithm in algorithms {
            let signer = KeySchedule.signer(keys, at: clock.now, algorithm: algorithm)
            page.sample(
                signer?.activatesAt.map { Double(clock.now - $0) / 1e6 } ?? .nan, ("algorithm", algorithm.rawValue))
        }
    }

    private func process(in page: inout Exposition) {
        page.family("latchkey_build_info", .gauge, "The version that runs; always 1.")
        page.sample(1, ("version", Node.version))
        guard let readings = ProcessReadings.now() else { return }
        page.family("process_resident_memory_bytes", .gauge, "Resident memory size in bytes.")
        page.sample(readings.residentBytes)
        page.family("process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds.")
        page.sample(readings.cpuSeconds)
        page.family("process_open_fds", .gauge, "Number of open file descriptors.")
        page.sample(readings.openDescriptors)
        page.family("process_max_fds", .gauge, "Maximum number of open file descriptors.")
        page.sample(readings.maximumDescriptors)
        page.family("process_start_time_seconds", .gauge, "Start time of the process since unix epoch in seconds.")
        page.sample(readings.startedAt)
    }
}

extension GroupedLane {
    fileprivate var label: String {
        switch self {
        case .hot: "hot"
        case .revocations: "revocations"
        case .guesses: "guesses"
        }
    }
}
