import Glibc
import Testing

@testable import Latchkey

@Suite("The share of the processors")
struct SchedulingGroupTests {
    @Test(arguments: [("/autogroup-25 nice 0\n", 0), ("/autogroup-1 nice 5\n", 5), ("/autogroup-7 nice -3\n", -3)])
    func `The kernel's line tells the group's nice value`(line: String, niceness: Int) {
        #expect(SchedulingGroup.niceness(in: line) == niceness)
    }

    @Test(arguments: [
        "", "\n", "/autogroup-25 nice", "/autogroup-25 nice x\n", "/other-25 nice 0\n", "autogroup nice 0 1",
    ])
    func `Anything else tells nothing, and nothing is changed`(line: String) {
        #expect(SchedulingGroup.niceness(in: line) == nil)
    }

    @Test func `A process that leads no session leaves its session alone`() throws {
        try #require(getsid(0) != getpid(), "the tests lead no session")
        #expect(SchedulingGroup.lower() != .lowered(to: 5))
    }
}
