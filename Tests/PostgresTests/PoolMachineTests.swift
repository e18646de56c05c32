import Testing

@testable import Postgres

@Suite("The pool's decisions")
struct PoolMachineTests {
    private static let second: Int64 = 1_000_000_000

    /// A machine with its first connection opened and leased.
    private func leased(maximum: Int = 1, waiting: Int = 10) -> PoolMachine {
        var machine = PoolMachine(maximum: maximum, maximumWaiting: waiting)
        #expect(machine.lease(now: 0, deadline: 10) == .wait(1, opening: 1))
        #expect(machine.freed(1) == .serve(1))
        return machine
    }

    @Test func `The first lease opens a connection and is served when it is open`() {
        let machine = leased()
        #expect(machine.leasedCount == 1)
        #expect(machine.waitingCount == 0)
        #expect(machine.due == nil)
    }

    @Test func `An idle connection is used at once`() {
        var machine = leased()
        #expect(machine.freed(1) == .park)
        #expect(machine.lease(now: 0, deadline: 10) == .use(1))
    }

    @Test func `Who has waited longest is served first`() {
        var machine = leased()
        for waiter in 2...4 { #expect(machine.lease(now: 0, deadline: 10) == .wait(waiter, opening: nil)) }
        #expect(machine.freed(1) == .serve(2))
        #expect(machine.freed(1) == .serve(3))
        #expect(machine.freed(1) == .serve(4))
        #expect(machine.freed(1) == .park)
    }

    @Test func `Never more connections than the maximum, nor more on their way than waiters`() {
        var machine = PoolMachine(maximum: 3, maximumWaiting: 10)
        #expect(machine.lease(now: 0, deadline: 10) == .wait(1, opening: 1))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: 2))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(3, opening: 3))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(4, opening: nil))
        #expect(machine.elapsed(now: 5).opening == nil)
    }

    @Test func `One too many is refused`() {
        var machine = leased(waiting: 2)
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: nil))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(3, opening: nil))
        #expect(machine.lease(now: 0, deadline: 10) == .refuse)
        #expect(machine.waitingCount == 2)
    }

    @Test func `A waiter past its deadline is told and not served`() {
        var machine = leased()
        _ = machine.lease(now: 0, deadline: 20)
        _ = machine.lease(now: 0, deadline: 10)
        #expect(machine.due == 10)
        #expect(machine.elapsed(now: 9).expired == [])
        #expect(machine.elapsed(now: 10).expired == [3])
        #expect(machine.due == 20)
        #expect(machine.freed(1) == .serve(2))
    }

    @Test func `A connection given back twice is not leased twice`() {
        var machine = leased()
        #expect(machine.freed(1) == .park)
        #expect(machine.freed(1) == .unknown)
        #expect(machine.lease(now: 0, deadline: 10) == .use(1))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: nil))
    }

    @Test func `A connection lost while leased frees its place`() {
        var machine = leased()
        _ = machine.lease(now: 0, deadline: 10)
        #expect(machine.lost(1, now: 0, chance: 0) == [])
        #expect(machine.freed(1) == .unknown)
        #expect(machine.due == 0)
        #expect(machine.elapsed(now: 0).opening == 2)
        #expect(machine.freed(2) == .serve(2))
    }

    @Test func `A connection lost while idle is not given to anybody`() {
        var machine = leased()
        _ = machine.freed(1)
        #expect(machine.lost(1, now: 0, chance: 0) == [])
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: 2))
    }

    @Test func `A connection lost twice is lost once`() {
        var machine = leased(maximum: 2)
        #expect(machine.lost(1, now: 0, chance: 0) == [])
        #expect(machine.lost(1, now: 0, chance: 0) == [])
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: 2))
        #expect(machine.lease(now: 0, deadline: 10) == .wait(3, opening: 3))
    }

    @Test func `Where none comes to be, all who wait are told at once`() {
        var machine = PoolMachine(maximum: 2, maximumWaiting: 10)
        _ = machine.lease(now: 0, deadline: 10)
        _ = machine.lease(now: 0, deadline: 10)
        #expect(machine.lost(1, now: 0, chance: 0) == [1, 2])
        #expect(machine.lost(2, now: 0, chance: 0) == [])
        #expect(machine.waitingCount == 0)
    }

    @Test func `Where others work, those who wait go on waiting`() {
        var machine = leased(maximum: 2)
        #expect(machine.lease(now: 0, deadline: 10) == .wait(2, opening: 2))
        #expect(machine.lost(2, now: 0, chance: 0) == [])
        #expect(machine.freed(1) == .serve(2))
    }

    @Test func `After each failure the next attempt is put off twice as long, up to a second`() {
        var machine = PoolMachine(maximum: 1, maximumWaiting: 10)
        var now: Int64 = 0
        var connection = 0
        for pause: Int64 in [50, 100, 200, 400, 800, 1000, 1000] {
            connection += 1
            let lease = machine.lease(now: now, deadline: now + 10 * Self.second)
            guard case .wait(_, opening: connection) = lease else {
                Issue.record("\(lease)")
                return
            }
            #expect(machine.lost(connection, now: now, chance: 0).count == 1)
            guard case .wait(_, opening: nil) = machine.lease(now: now, deadline: now + 1) else {
                Issue.record("opened within the pause")
                return
            }
            now += pause * 1_000_000
            #expect(machine.elapsed(now: now - 1).opening == nil)
        }
        #expect(machine.lease(now: now, deadline: now + 1) == .wait(15, opening: connection + 1))
        #expect(machine.freed(connection + 1) == .serve(15))
        #expect(machine.lost(connection + 1, now: now, chance: 0) == [])
        guard case .wait(_, opening: .some) = machine.lease(now: now, deadline: now + 1) else {
            Issue.record("a connection that had worked counts as a failure")
            return
        }
    }

    @Test func `A waiter who leaves is not served, and the next one is`() {
        var machine = leased(waiting: 2)
        _ = machine.lease(now: 0, deadline: 20)
        _ = machine.lease(now: 0, deadline: 30)
        #expect(machine.lease(now: 0, deadline: 30) == .refuse)
        #expect(machine.withdraw(2) == true)
        #expect(machine.withdraw(2) == false)
        #expect(machine.lease(now: 0, deadline: 30) == .wait(4, opening: nil))
        #expect(machine.freed(1) == .serve(3))
        #expect(machine.withdraw(3) == false)
        #expect(machine.elapsed(now: 25).expired == [])
    }

    @Test func `A connection opened for a waiter who has left is parked`() {
        var machine = PoolMachine(maximum: 1, maximumWaiting: 10)
        #expect(machine.lease(now: 0, deadline: 10) == .wait(1, opening: 1))
        #expect(machine.withdraw(1) == true)
        #expect(machine.due == nil)
        #expect(machine.freed(1) == .park)
        #expect(machine.lease(now: 0, deadline: 10) == .use(1))
    }

    @Test func `A pause wakes the pool when it is over, not before and not in a loop`() {
        var machine = PoolMachine(maximum: 1, maximumWaiting: 10)
        _ = machine.lease(now: 0, deadline: Self.second)
        _ = machine.lost(1, now: 0, chance: 0)
        #expect(machine.due == nil)
        #expect(machine.lease(now: 0, deadline: Self.second) == .wait(2, opening: nil))
        #expect(machine.due == 50_000_000)
        #expect(machine.elapsed(now: 50_000_000).opening == 2)
        #expect(machine.due == Self.second)
    }
}
