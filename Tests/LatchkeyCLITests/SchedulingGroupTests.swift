import Foundation
import LatchkeyTesting
import Testing

/// What a service does to its share of the processors (`sched(7)`), where the kernel shares them out by session.
@Suite(.enabled(if: FileManager.default.fileExists(atPath: "/proc/self/autogroup")))
struct SchedulingGroupTests {
    private func group(of process: ChildProcess) -> String {
        (try? String(contentsOfFile: "/proc/\(process.id)/autogroup", encoding: .utf8)) ?? ""
    }

    @Test func `A service that leads its session lets the database go first`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder, prefix: ["/usr/bin/setsid"]) { dev async throws in
                #expect(group(of: dev.process).hasSuffix("nice 5\n"))
            }
        }
    }

    @Test func `A service in a terminal's session leaves that as it is, and says what may come of it`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder, environment: ["LATCHKEY_LOG_LEVEL": "info"]) { dev in
                let ours = try String(contentsOfFile: "/proc/self/autogroup", encoding: .utf8)
                #expect(group(of: dev.process) == ours)
                // The log has a thread of its own: its lines come when they come.
                let isSaid = await becomesTrue { dev.process.transcript.errors.contains("shared out by session") }
                #expect(isSaid)
            }
        }
    }
}
