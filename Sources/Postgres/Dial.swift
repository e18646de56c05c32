/// How one connection is sought among the hosts of its target: host after host, address after address, each with its
/// share of the time that is left, so that one that swallows packets, hangs in its answer or whose name does not resolve
/// leaves time for the next. Pure; times are nanoseconds of the monotonic clock.
struct Dial {
    typealias Host = ServerTarget.Host

    enum Step: Equatable {
        /// Look the host's name up, until then.
        case lookUp(Host, until: Int64)
        /// Connect to it, until then: a host that needs no look-up any more.
        case connect(Host, until: Int64)
        case giveUp
    }

    let deadline: Int64
    private var hosts: ArraySlice<Host>
    /// Of the host that was looked up: its addresses that were not tried, and when its share ends.
    private var addresses: ArraySlice<Host> = []
    private var shareEnd: Int64 = 0
    /// The host that is being tried.
    private(set) var current: Host?

    /// - Parameter preferred: where the last connection was made: the search begins there.
    init(_ target: ServerTarget, preferred: Host?, deadline: Int64) {
        let start = target.hosts.firstIndex { $0 == preferred } ?? 0
        hosts = (target.hosts[start...] + target.hosts[..<start])[...]
        self.deadline = deadline
    }

    /// The next attempt: at the beginning, and after each that failed or used its share up.
    mutating func next(now: Int64) -> Step {
        if let address = addresses.popFirst(), now < shareEnd {
            return .connect(address, until: share(of: shareEnd, now: now, left: addresses.count))
        }
        addresses = []
        guard now < deadline, let host = hosts.popFirst() else { return .giveUp }
        current = host
        shareEnd = share(of: deadline, now: now, left: hosts.count)
        return host.isAddress ? .connect(host, until: shareEnd) : .lookUp(host, until: shareEnd)
    }

    /// The current host's name was looked up; without an address the next host is tried.
    mutating func found(_ found: [String], now: Int64) -> Step {
        addresses =
            found.map { address in
                var host = current ?? Host()
                host.hostaddr = address
                return host
            }[...]
        return next(now: now)
    }

    private func share(of end: Int64, now: Int64, left: Int) -> Int64 {
        now + max(0, end - now) / Int64(left + 1)
    }
}
