import Foundation
import Glibc
import Testing

/// `latchkey dev` as a user who is not root, whose cluster then lies in DIR itself. Run by root alone: any other user
/// runs every test of this target unprivileged.
@Suite struct UnprivilegedTests {
    private static let asNobody = [
        "/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig", "KILL",
    ]

    @Test(
        .enabled("root runs the tests, and nobody can reach and run the binary") {
            guard geteuid() == 0 else { return false }
            let version = try await LatchkeyBinary.run(["--version"], prefix: asNobody)
            return version.exit == .code(0)
        })
    func `A user who is not root has everything in a deep DIR, killed or not`() async throws {
        let name = "my data/" + String(repeating: "deep down ", count: 15) + "."
        try await Dev.withFolder(named: name) { folder in
            let account = try #require(getpwnam("nobody"))
            let top = "\(folder.home)/my data"
            try FileManager.default.createDirectory(atPath: top, withIntermediateDirectories: false)
            #expect(chown(top, account.pointee.pw_uid, account.pointee.pw_gid) == 0)

            let port = FreePort.next()
            let first = try await Dev.start(in: folder, port: port, prefix: Self.asNobody)
            let login = try await first.site.newUser("ada")
            let cluster = try #require(folder.cluster)
            #expect(cluster.hasPrefix(folder.path))
            let users = try await LatchkeyBinary.run(["users", "list", "--data", folder.path], prefix: Self.asNobody)
            #expect(users.output.contains("ada"), "\(users.errors)")
            let audit = try await LatchkeyBinary.run(
                ["users", "create", "eve", "--no-password", "--data", folder.path], prefix: Self.asNobody)
            #expect(audit.exit == .code(0), "\(audit.errors)")

            let processes = ProcessTable.descendants(of: first.process.id)
            #expect(processes.count >= 5)
            first.process.send(SIGKILL)
            try await first.process.end()
            let (left, _) = await ProcessTable.untilGone(processes, using: cluster, within: .seconds(5))
            #expect(left == [])

            let second = try await Dev.start(in: folder, port: port, prefix: Self.asNobody)
            #expect(try await second.site.account(login["access_token"]) == 200)
            second.process.send(SIGTERM)
            #expect(try await second.process.end(within: 20).exit == .code(0))
            #expect(ProcessTable.using(cluster) == [])
        }
    }

    @Test(.enabled("root runs the tests") { geteuid() == 0 })
    func `A DIR that belongs to somebody else is refused with what to do`() async throws {
        try await Dev.withFolder { folder in
            let transcript = try await LatchkeyBinary.run(["dev", "--data", folder.path], prefix: Self.asNobody)
            #expect(transcript.exit == .code(1))
            #expect(transcript.errors.contains(folder.path), "\(transcript)")
            #expect(transcript.errorLines.count == 1)
        }
    }
}
