import EmbeddedPostgres
import Foundation
import Testing

/// Real clusters, each in a folder of its own under /tmp, with `fsync` off: what is tested is processes and folders.
@Suite struct ClusterTests {
    @Test func `A cluster is made once and accepts connections when start returns`() async throws {
        let home = try Home()
        defer { home.remove() }
        let stages = Stages()
        let first = try await home.start(progress: stages.add)
        #expect(try await first.ask("SHOW server_encoding") == "UTF8")
        #expect(try await first.ask("SHOW data_checksums") == "on")
        #expect(try await first.ask("SHOW listen_addresses") == "")
        #expect(try await first.ask("SELECT rolname FROM pg_roles WHERE rolsuper") == "latchkey")
        #expect(try await first.ask("SHOW lc_collate") == "C")
        await first.stop()
        #expect(stages.lines.count == 1)

        let second = try await home.start(progress: stages.add)
        #expect(stages.lines.count == 1)
        await second.stop()
    }

    @Test func `Nothing is left of a stopped cluster but its data, and stopping again is harmless`() async throws {
        let home = try Home()
        defer { home.remove() }
        let cluster = try await home.start()
        let processes = try Processes.mentioning(cluster.location.dataDirectory)
        #expect(processes.count >= 2)
        await cluster.stop()
        await cluster.stop()
        #expect(try Processes.mentioning(cluster.location.dataDirectory) == [])
        #expect(FileManager.default.fileExists(atPath: cluster.location.socketDirectory) == false)
        await cluster.waitUntilExit()
    }

    @Test(arguments: ["stop", "crash", "kill -9"])
    func `Data survive the end of the server`(end: String) async throws {
        let home = try Home()
        defer { home.remove() }
        let cluster = try await home.start()
        _ = try await cluster.ask("CREATE TABLE kept (n int); INSERT INTO kept VALUES (41), (1)")
        let before = cluster.processIdentifier
        switch end {
        case "stop": await cluster.stop()
        case "crash": await cluster.stopImmediately()
        default:
            kill(before, SIGKILL)
            await cluster.waitUntilExit()
        }
        await #expect(throws: Psql.Failed.self) { try await cluster.ask("SELECT 1") }
        try await cluster.restart()
        #expect(cluster.processIdentifier != before)
        #expect(try await cluster.ask("SELECT sum(n) FROM kept") == "42")
        await cluster.stop()
    }

    @Test func `An owner that is gone leaves no process behind within five seconds, and its data go on`() async throws {
        let home = try Home()
        defer { home.remove() }
        // The kernel closes the owner's end of the pipe when it dies; so does dropping the last reference.
        var cluster: EmbeddedPostgres? = try await home.start()
        let server = try #require(cluster?.processIdentifier)
        _ = try await cluster?.ask("CREATE TABLE kept (n int)")
        // Born while the cluster runs, and outliving it: it must not have inherited our end.
        let bystander = Process()
        bystander.executableURL = URL(fileURLWithPath: "/bin/sleep")
        bystander.arguments = ["60"]
        try bystander.run()
        // Not by SIGTERM: a child of a pool's thread is born with it blocked.
        defer { kill(bystander.processIdentifier, SIGKILL) }
        cluster = nil
        #expect(try await Processes.isGone(server, within: 5))
        // Its guard may still be clearing up: the next start waits for it.
        let next = try await home.start()
        #expect(try await next.ask("SELECT count(*) FROM kept") == "0")
        #expect(bystander.isRunning)
        await next.stop()
        #expect(try Processes.mentioning(home.path) == [])
    }

    @Test func `Several clusters run at once, each reached through its own folder`() async throws {
        let (one, other) = (try Home(), try Home())
        defer {
            one.remove()
            other.remove()
        }
        async let first = one.start()
        async let second = other.start()
        let clusters = try await [first, second]
        for cluster in clusters {
            #expect(try await cluster.ask("SHOW data_directory") == cluster.location.dataDirectory)
        }
        #expect(clusters[0].location.socketDirectory != clusters[1].location.socketDirectory)
        for cluster in clusters { await cluster.stop() }
    }

    @Test(arguments: [
        String(repeating: "long", count: 50), "spaces and \"quotes\" and 'more' $HOME `id` ;", "ünïcode",
    ])
    func `A data directory may have any name`(name: String) async throws {
        let home = try Home(named: name)
        defer { home.remove() }
        let cluster = try await home.start()
        #expect(try await cluster.ask("SELECT 1") == "1")
        await cluster.stop()
        #expect(try Processes.mentioning(home.path) == [])
    }

    @Test func `A cluster starts where a location was chosen for it`() async throws {
        let home = try Home()
        defer { home.remove() }
        let location = try EmbeddedPostgres.chooseLocation(for: "\(home.path)/installation")
        let folder = (location.dataDirectory as NSString).deletingLastPathComponent
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let cluster = try await EmbeddedPostgres.start(location, options: ["fsync": "off"])
        #expect(cluster.location == location)
        #expect(try await cluster.ask("SELECT 1") == "1")
        for path in [folder, location.dataDirectory, location.socketDirectory] {
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o700)
        }
        await cluster.stop()
    }

    @Test func `A name in a connection string cannot add a keyword`() async throws {
        let home = try Home()
        defer { home.remove() }
        let cluster = try await home.start()
        _ = try await cluster.ask(#"CREATE DATABASE "it's \ port=1""#)
        #expect(try await cluster.ask("SELECT current_database()", database: #"it's \ port=1"#) == #"it's \ port=1"#)
        await cluster.stop()
    }

    @Test func `Settings of the caller reach the server, and a wrong one is told with its reason`() async throws {
        let home = try Home()
        defer { home.remove() }
        let cluster = try await home.start(options: ["fsync": "off", "work_mem": "7MB"])
        #expect(try await cluster.ask("SHOW work_mem") == "7MB")
        await cluster.stop()
        let error = await #expect(throws: EmbeddedPostgresError.self) {
            try await home.start(options: ["fsync": "off", "work_mem": "seven"])
        }
        #expect(error?.description.contains("work_mem") == true)
        #expect(try Processes.mentioning(home.path) == [])
    }
}
