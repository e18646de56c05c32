import EmbeddedPostgres
import Foundation
import Testing

/// What stands in the way of a cluster: other people's folders, other servers, half-made data.
@Suite struct RefusalTests {
    @Test(arguments: Squat.allCases)
    func `A socket folder that is not ours alone is left to whoever made it`(squat: Squat) async throws {
        let home = try Home()
        defer { home.remove() }
        var wanted = home.location
        try squat.occupy(&wanted.socketDirectory)
        defer { try? FileManager.default.removeItem(atPath: wanted.socketDirectory) }
        let cluster = try await EmbeddedPostgres.start(wanted, options: ["fsync": "off"])
        #expect(cluster.location.socketDirectory != wanted.socketDirectory)
        #expect(cluster.location.dataDirectory == wanted.dataDirectory)
        #expect(try await cluster.ask("SELECT 1") == "1")
        await cluster.stop()
    }

    @Test func `A second server on the same data is refused while the first runs`() async throws {
        let home = try Home()
        defer { home.remove() }
        let first = try await home.start()
        await #expect(throws: EmbeddedPostgresError.alreadyRunning(dataDirectory: home.location.dataDirectory)) {
            try await home.start()
        }
        #expect(try await first.ask("SELECT 1") == "1")
        await first.stop()
    }

    @Test func `A folder full of something else is not touched`() async throws {
        let home = try Home()
        defer { home.remove() }
        try await home.start().stop()
        let location = ClusterLocation(
            dataDirectory: "\(home.location.dataDirectory)/base", socketDirectory: home.location.socketDirectory)
        // Inside a cluster: the folder is the right user's, and `base` holds files without being one.
        await #expect(throws: EmbeddedPostgresError.notACluster(path: location.dataDirectory)) {
            try await EmbeddedPostgres.start(location)
        }
        let kept = try FileManager.default.contentsOfDirectory(atPath: location.dataDirectory)
        #expect(kept.isEmpty == false)
    }

    @Test func `What a killed initdb left is not taken for a cluster`() async throws {
        let home = try Home()
        defer { home.remove() }
        let whole = try await home.start()
        await whole.stop()
        let data = home.location.dataDirectory
        try FileManager.default.moveItem(atPath: data, toPath: "\(data).making")
        let stages = Stages()
        let cluster = try await home.start(progress: stages.add)
        #expect(stages.lines.count == 1)
        #expect(FileManager.default.fileExists(atPath: "\(data).making") == false)
        await cluster.stop()
    }

    @Test func `Data of a version that is not installed name what to install`() async throws {
        let home = try Home()
        defer { home.remove() }
        try await home.start().stop()
        try "7\n".write(toFile: "\(home.location.dataDirectory)/PG_VERSION", atomically: false, encoding: .utf8)
        let expected = EmbeddedPostgresError.programsMissing(version: "7")
        let error = await #expect(throws: expected) { try await home.start() }
        #expect(error?.description.contains("apt-get install postgresql-7") == true)
    }

    @Test func `Another user's folder is refused`() async throws {
        let location = ClusterLocation(dataDirectory: "/etc/postgres", socketDirectory: "/tmp/latchkey-taken")
        let error = await #expect(throws: EmbeddedPostgresError.self) { try await EmbeddedPostgres.start(location) }
        guard case .folderUnusable(path: "/etc", reason: _) = error else {
            Issue.record("told \(String(describing: error))")
            return
        }
        #expect(FileManager.default.fileExists(atPath: "/etc/postgres") == false)
    }

    @Test(arguments: ["", "relative/data", "/tmp/new\nline", "/tmp/nul\0", "/"])
    func `A path that cannot work is refused before anything is made`(path: String) async throws {
        let location = ClusterLocation(dataDirectory: path, socketDirectory: "/tmp/latchkey-0000000000000000")
        await #expect(throws: EmbeddedPostgresError.pathUnusable(path)) { try await EmbeddedPostgres.start(location) }
    }

    @Test(arguments: ["/root/x", "/home/someone/" + String(repeating: "deep/", count: 40), "relative"])
    func `A chosen location is absolute and its socket path short`(directory: String) throws {
        let one = try EmbeddedPostgres.chooseLocation(for: directory)
        let other = try EmbeddedPostgres.chooseLocation(for: directory)
        #expect(one.socketDirectory != other.socketDirectory)
        #expect("\(one.socketDirectory)/.s.PGSQL.5432".utf8.count <= 107)
        #expect(one.dataDirectory.hasPrefix("/"))
        if geteuid() == 0 {
            #expect(one.dataDirectory.hasPrefix("/var/lib/latchkey/"))
            #expect(one.dataDirectory != other.dataDirectory)
        } else {
            #expect(one.dataDirectory.hasSuffix("\(directory)/postgres".replacingOccurrences(of: "//", with: "/")))
        }
    }
}

/// Ways to be in a socket folder's place before its owner.
enum Squat: String, CaseIterable, CustomTestStringConvertible {
    case link, file, openFolder, tooLong

    var testDescription: String { rawValue }

    func occupy(_ path: inout String) throws {
        let files = FileManager.default
        switch self {
        case .link: try files.createSymbolicLink(atPath: path, withDestinationPath: "/tmp")
        case .file: try Data().write(to: URL(fileURLWithPath: path))
        case .openFolder:
            try files.createDirectory(
                atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o777])
        case .tooLong: path += String(repeating: "x", count: 80)
        }
    }
}
