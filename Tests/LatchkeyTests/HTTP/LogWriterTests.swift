import Foundation
import Glibc
import JOSE
import LatchkeyTesting
import Synchronization
import Testing

@testable import Latchkey

@Suite("The writer of the log", .timeLimit(.minutes(8)))
struct LogWriterTests {
    /// The two ends of a pipe.
    private struct Ends {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            (reading, writing) = (ends[0], ends[1])
            for end in ends { try #require(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
            try #require(fcntl(reading, F_SETFL, O_NONBLOCK) == 0)
        }

        /// How many bytes stand in it.
        var count: Int {
            var count: Int32 = 0
            return ioctl(reading, UInt(FIONREAD), &count) == 0 ? Int(count) : -1
        }

        /// What stands in it.
        func lines() -> [String] {
            var text: [UInt8] = []
            var bytes = [UInt8](repeating: 0, count: 65_536)
            while case let count = read(reading, &bytes, bytes.count), count > 0 { text += bytes[..<count] }
            return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
        }

        func close() {
            Glibc.close(reading)
            Glibc.close(writing)
        }
    }

    private static func line(_ text: String) -> [UInt8] { Array((text + "\n").utf8) }

    @Test func `writes whole lines in their order, at once where it is told of a fault`() throws {
        let ends = try Ends()
        defer { ends.close() }
        let writer = LogWriter(descriptor: ends.writing)
        for number in 1...100 { writer.write(Self.line("\(number)"), .soon) }
        #expect(ends.lines() == [])
        writer.write(Self.line("fault"), .now)
        #expect(ends.lines() == (1...100).map(String.init) + ["fault"])
        writer.write(Self.line("last"), .soon)
        writer.leave()
        #expect(ends.lines() == ["last"])
    }

    @Test func `drops what it cannot hold, says how much, and goes on`() throws {
        let ends = try Ends()
        defer { ends.close() }
        let writer = LogWriter(descriptor: ends.writing, capacity: 100)
        for _ in 0..<25 { writer.write(Self.line("123456789"), .soon) }
        writer.flush()
        let lines = ends.lines()
        #expect(lines.dropLast() == Array(repeating: "123456789", count: 10)[...])
        let warning = try JSONValue.parse(Array(try #require(lines.last).utf8)).object
        #expect(warning?["lines"]?.int == 15 && warning?["level"]?.string == "warning")
        writer.write(Self.line("again"), .soon)
        writer.flush()
        #expect(ends.lines() == ["again"])
    }

    @Test func `holds nobody up whom nobody reads, neither a request nor the end of the process`() async throws {
        let ends = try Ends()
        let writer = LogWriter(descriptor: ends.writing, capacity: 1 << 20)
        let isFlushed = Mutex(false)
        writer.write([UInt8](repeating: 0x78, count: 1 << 20), .soon)
        // As the writer's own thread does: the pipe holds 64 KiB.
        Thread.detachNewThread {
            writer.flush()
            isFlushed.withLock { $0 = true }
        }
        #expect(await becomesTrue(within: .seconds(120)) { ends.count == 65_536 })
        let start = ContinuousClock.now
        for _ in 0..<1_000 { writer.write(Self.line("more"), .soon) }
        #expect(ContinuousClock.now - start < .milliseconds(500))
        // A second at most: on a thread of its own, since it does wait.
        let left = Mutex<Duration?>(nil)
        Thread.detachNewThread {
            writer.leave()
            left.withLock { $0 = ContinuousClock.now - start }
        }
        #expect(await becomesTrue(within: .seconds(120)) { left.withLock { $0 } != nil })
        #expect(left.withLock { $0 ?? .seconds(120) } < .seconds(30))
        #expect(!isFlushed.withLock { $0 })
        let isOver = await becomesTrue(within: .seconds(120)) {
            _ = ends.lines()
            return isFlushed.withLock { $0 }
        }
        #expect(isOver)
        // Never under a thread that writes: the number would soon be another's.
        if isOver { ends.close() }
    }
}
