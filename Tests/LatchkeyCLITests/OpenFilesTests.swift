import Foundation
import LatchkeyTesting
import Testing

/// A node whose limit on open files is lowered under it.
@Suite struct OpenFilesTests {
    /// The limit, which is one on numbers, below which so many are free.
    private static func limit(leaving free: Int, to process: pid_t) throws -> Int {
        let open = Set(
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap { Int($0) })
        var (limit, left) = (0, free)
        while left > 0 {
            if !open.contains(limit) { left -= 1 }
            limit += 1
        }
        return limit
    }

    private static func limit(_ process: pid_t, to files: Int) async throws {
        // The hard limit too: nothing can raise it again.
        let lowered = try await ChildProcess.start(["/usr/bin/prlimit", "--pid", "\(process)", "--nofile=\(files)"])
        try #require(try await lowered.end().exit == .code(0))
    }

    @Test func `Out of files, a node lives on, and answers again once some are free`() async throws {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let node = nodes[0]
                let user = try await node.site.newUser("ada")
                // Room for four more; the rest waits in the kernel to be accepted.
                try await Self.limit(node.process.id, to: try Self.limit(leaving: 4, to: node.process.id))
                var callers: [RawCaller] = []
                for _ in 0..<30 {
                    let caller = try await RawCaller.connect(port: node.site.port)
                    caller.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                    callers.append(caller)
                }
                let all = callers
                #expect(await all[0].answers(1).map(\.status) == [200])
                #expect(await all[29].answers(1, within: .seconds(2)).isEmpty)
                for caller in all { await caller.close() }
                let port = node.site.port
                // A second's pause each time that files run out, for as long as some wait who have gone.
                #expect(
                    try await becomesTrue(within: .seconds(60)) {
                        let next = try await RawCaller.connect(port: port)
                        next.send("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        let status = await next.answers(1, within: .seconds(20)).first?.status
                        await next.close()
                        return status == 200
                    })
                // The same process, whole: with its database, too.
                #expect(node.process.transcript.exit == nil)
                #expect(try await node.site.refresh(user["refresh_token"]).status == 200)
            }
        }
    }
}
