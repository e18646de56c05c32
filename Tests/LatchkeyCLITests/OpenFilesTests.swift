import Foundation
import LatchkeyTesting
import Testing

/// A node whose limit on open files is lowered under it.
@Suite struct OpenFilesTests {
    private static func openFiles(of process: pid_t) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count
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
                let open = try Self.openFiles(of: node.process.id)
                // Room for four more; the rest waits in the kernel, which holds 256, to be accepted.
                try await Self.limit(node.process.id, to: open + 4)
                var callers: [RawCaller] = []
                for _ in 0..<200 {
                    let caller = try await RawCaller.connect(port: node.site.port)
                    caller.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                    callers.append(caller)
                }
                let all = callers
                let process = node.process.id
                #expect(try await becomesTrue { try Self.openFiles(of: process) == open + 4 })
                #expect(await all[0].answers(1).map(\.status) == [200])
                // Who waits is served as others leave, a second later at most for each time that files ran out.
                #expect(await all[199].answers(1, within: .seconds(1)).isEmpty)
                for caller in all { await caller.close() }
                let port = node.site.port
                #expect(
                    try await becomesTrue {
                        let next = try await RawCaller.connect(port: port)
                        next.send("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        let status = await next.answers(1, within: .seconds(2)).first?.status
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
