internal import Synchronization

/// What befalls the connections of one port, counted where no route sees it.
package final class EdgeTraffic: Sendable {
    /// Requests that were refused before they were whole, by why. They are answers of the route `none`, too.
    let refused = CounterFamily<EdgeRefusal>()
    /// Connections that were closed over their caller, by why.
    let closed = CounterFamily<ConnectionDeadlines.Reason>()
    private let open = Atomic(0)

    package init() {}

    var openCount: Int { open.load(ordering: .relaxed) }

    /// - Returns: how many are open, this one among them.
    func opened() -> Int { open.wrappingAdd(1, ordering: .relaxed).newValue }

    func left() { open.wrappingSubtract(1, ordering: .relaxed) }
}

extension EdgeRefusal: MetricLabel {
    package var label: String { rawValue }
}

extension ConnectionDeadlines.Reason: MetricLabel {
    package var label: String { rawValue }
}
