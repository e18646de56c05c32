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

    /// A session of its own that another process leads, as a terminal's shell does. The tests' own will not do: what was
    /// never put into a session (a build server's jobs) is in no group, and then there is nothing to say.
    private static let terminal = [
        "/usr/bin/setsid", "/bin/sh", "-c", "setpriv --pdeathsig KILL \"$@\"; exit", "shell",
    ]

    @Test func `A service in a terminal's session leaves that as it is, and says what may come of it`() async throws {
        try await Dev.withFolder { folder in
            let verbose = ["LATCHKEY_LOG_LEVEL": "info"]
            try await Dev.run(in: folder, prefix: Self.terminal, environment: verbose) { dev in
                // The log has a thread of its own: its lines come when they come.
                let isSaid = await becomesTrue { dev.process.transcript.errors.contains("shared out by session") }
                #expect(isSaid)
                #expect(group(of: dev.process).hasSuffix("nice 0\n"))
            }
        }
    }
}
