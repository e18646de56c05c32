import Synchronization

/// Requests by route, method and status, their durations by route, and how many are under way. A request costs about
/// five atomic additions here, finds its route by the length of the template and makes no string.
package final class HTTPTraffic: Sendable {
    /// By the length of the template in bytes: of one length there are few, so that the first comparison mostly hits.
    private let routes: [[RouteTraffic]]
    /// Whatever no route answers: paths of the caller's own making are one series.
    private let unrouted = RouteTraffic(template: "none")
    private let inFlight = Atomic<Int>(0)

    /// - Parameter templates: every route's; twice the same is one.
    package init(routes templates: some Sequence<String> = []) {
        var table: [[RouteTraffic]] = []
        for template in templates {
            let length = template.utf8.count
            while table.count <= length { table.append([]) }
            if !table[length].contains(where: { $0.template == template }) {
                table[length].append(RouteTraffic(template: template))
            }
        }
        routes = table
    }

    package func arrived() { inFlight.wrappingAdd(1, ordering: .relaxed) }

    package func left() { inFlight.wrappingSubtract(1, ordering: .relaxed) }

    /// - Parameters:
    ///   - template: the route's, nil or unknown where none was found.
    ///   - method: as the request says it.
    package func answered(_ template: String?, method: String, status: Int, in duration: Duration) {
        traffic(template).answered(method: method, status: status, in: duration)
    }

    private func traffic(_ template: String?) -> RouteTraffic {
        guard let template else { return unrouted }
        let length = template.utf8.count
        guard length < routes.count else { return unrouted }
        for route in routes[length] where route.template == template { return route }
        return unrouted
    }

    package var inFlightCount: Int { inFlight.load(ordering: .relaxed) }

    /// Every route that has answered, sorted by template; `none` last.
    package var readings: [RouteTraffic] {
        (routes.flatMap { $0 }.sorted { $0.template < $1.template } + [unrouted]).filter { !$0.answers.isEmpty }
    }
}

/// One route's answers.
package final class RouteTraffic: Sendable {
    /// The methods that HTTP names and we route; a caller's word is `other`.
    private static let methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "other"]
    /// The statuses that we answer with; any other is `other`.
    private static let statuses = [
        200, 201, 202, 204, 302, 303, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 417,
        421, 422, 429, 431, 500, 501, 503, 505,
    ]
    /// The index of each status from 0 to 599 among `statuses`, or one past them.
    private static let statusIndices: [UInt8] = (0..<600).map { status in
        UInt8(statuses.firstIndex(of: status) ?? statuses.count)
    }

    package let template: String
    package let durations = Histogram()
    /// 8 methods by 32 statuses.
    private let counts = InlineArray<256, Atomic<UInt64>> { _ in Atomic(0) }

    init(template: String) {
        self.template = template
    }

    func answered(method: String, status: Int, in duration: Duration) {
        let last = Self.methods.count - 1
        var row = 0
        while row < last, Self.methods[row] != method { row += 1 }
        let column =
            Self.statusIndices.indices.contains(status) ? Self.statusIndices[status] : UInt8(Self.statuses.count)
        counts[row * 32 + Int(column)].wrappingAdd(1, ordering: .relaxed)
        durations.record(duration)
    }

    /// What was answered at all: a series that never was stands for nothing.
    package var answers: [(method: String, status: String, count: UInt64)] {
        var answers: [(String, String, UInt64)] = []
        for (row, method) in Self.methods.enumerated() {
            for column in 0...Self.statuses.count {
                let count = counts[row * 32 + column].load(ordering: .relaxed)
                guard count > 0 else { continue }
                answers.append((method, column < Self.statuses.count ? "\(Self.statuses[column])" : "other", count))
            }
        }
        return answers
    }
}
