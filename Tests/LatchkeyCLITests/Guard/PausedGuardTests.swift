import Foundation
import Glibc
import LatchkeyTesting
import Testing

/// A process that stood still knows that it did: its list is as old as the pause was long.
@Suite(.sharedDev, .enabled(if: FileManager.default.isExecutableFile(atPath: Nginx.program)))
struct PausedGuardTests {
    @Test func `A token that is revoked while the guard stands still passes no more, from the first answer on`()
        async throws
    {
        let dev = try SharedDev.dev
        let user = try await NginxGuardTests.clerk(dev, "hal")
        let token = user["access_token"]
        try await NginxGuardTests.run(["--stale-after", "3"], of: dev) { nginx, it, service async throws in
            #expect(try await nginx.send("/orders/", token).status == 200)
            let before = service.seen.count
            it.process.send(SIGSTOP)
            #expect(try await dev.site.revoke(user["refresh_token"]).status == 200)
            // Longer than its list may be old: not to wait for anything, but what the test is about.
            try await Task.sleep(for: .seconds(4))
            // These wait in its sockets, and are read before anything that it hears of its issuer.
            var callers: [RawCaller] = []
            for _ in 0..<16 {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send("GET /check HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                callers.append(caller)
            }
            it.process.send(SIGCONT)
            var statuses: [Int] = []
            for caller in callers {
                statuses += await caller.answers(1).map(\.status)
                await caller.close()
            }
            #expect(statuses.count == 16 && statuses.allSatisfy { $0 == 401 || $0 == 503 }, "\(statuses)")
            let end = ContinuousClock.now + .seconds(20)
            repeat {
                statuses.append(try await nginx.send("/orders/", token).status)
            } while statuses.last != 401
                && ContinuousClock.now < end
            #expect(statuses.last == 401 && !statuses.contains(200), "\(statuses)")
            #expect(service.seen.count == before)
        }
    }
}
