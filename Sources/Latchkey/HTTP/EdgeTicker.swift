import NIOCore

/// Looks at the deadlines of all connections of one event loop, a few times a second while there are any: no timer for
/// each connection, none for each request. Confined to its event loop.
final class EdgeTicker {
    private let interval: TimeAmount
    private let eventLoop: any EventLoop
    private var connections: [ObjectIdentifier: ConnectionGate] = [:]
    private var task: RepeatedTask?

    init(_ eventLoop: any EventLoop, interval: TimeAmount) {
        self.eventLoop = eventLoop
        self.interval = interval
    }

    func add(_ connection: ConnectionGate) {
        connections[ObjectIdentifier(connection)] = connection
        guard task == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        task = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in bound.value.tick() }
    }

    func remove(_ connection: ConnectionGate) {
        connections[ObjectIdentifier(connection)] = nil
        guard connections.isEmpty else { return }
        task?.cancel()
        task = nil
    }

    private func tick() {
        let now = eventLoop.now
        // A copy: who is closed leaves meanwhile.
        for connection in Array(connections.values) { connection.tick(now: now) }
    }
}
