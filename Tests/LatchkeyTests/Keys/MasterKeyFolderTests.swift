import Foundation
import Glibc
import JOSE
import LibCrypto
import Testing

@testable import Latchkey

/// A folder of a test's own.
struct KeyFolder {
    let path: String

    var folder: MasterKeyFolder { MasterKeyFolder(path) }

    static func run<R>(_ body: (KeyFolder) async throws -> R) async throws -> R {
        let path = FileManager.default.temporaryDirectory.appending(path: "latchkey-folder-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(KeyFolder(path: path))
    }

    func write(_ text: String, to name: String, mode: Int = 0o600) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
        try chmod(mode, name)
    }

    func chmod(_ mode: Int, _ name: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: "\(path)/\(name)")
    }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    static let key = Base64URL.encode([UInt8](repeating: 7, count: 32))
}

@Suite("The folder of the master keys") struct MasterKeyFolderTests {
    @Test func `holds a first key that others cannot read, and is not given a second one`() async throws {
        try await KeyFolder.run { it in
            #expect(try it.folder.initialise() == 1)
            #expect(try it.folder.initialise() == nil)
            #expect(it.names == ["master-key-1"])
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(it.path)/master-key-1")
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            let folder = try FileManager.default.attributesOfItem(atPath: it.path)
            #expect(folder[.posixPermissions] as? Int == 0o700)
            #expect(try it.folder.load().versions == [1])
        }
    }

    static let damages: [String] = [
        "", "\n", String(KeyFolder.key.dropLast()), KeyFolder.key + "A", KeyFolder.key + "=", " " + KeyFolder.key,
        KeyFolder.key.replacing("B", with: "+"), KeyFolder.key + "\r\n", "not a key\n", "\n" + KeyFolder.key,
        String(KeyFolder.key.dropLast()) + "d",
    ]

    @Test(arguments: damages)
    func `refuses a file that is not 32 bytes in base64url`(text: String) async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            try it.write(text, to: "master-key-2")
            #expect(throws: MasterKeyFolderError.damaged("\(it.path)/master-key-2")) { try it.folder.load() }
        }
    }

    @Test(arguments: [0o604, 0o640, 0o660, 0o644, 0o601, 0o620, 0o666, 0o777, 0o440 | 0o4000])
    func `refuses a file that others may read or write`(mode: Int) async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            try it.chmod(mode, "master-key-1")
            let error = #expect(throws: MasterKeyFolderError.tooOpen("\(it.path)/master-key-1")) {
                try it.folder.load()
            }
            #expect(error?.description.contains("chmod 600") == true)
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func `takes what systemd hands over, root's own with the mask of an ACL, and nobody else's of that mode`()
        async throws
    {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            let file = "\(it.path)/master-key-1"
            try it.chmod(0o440, "master-key-1")
            #expect(try it.folder.load().versions == [1])
            #expect(chown(file, 0, 65_534) == 0)
            #expect(throws: MasterKeyFolderError.tooOpen(file)) { try it.folder.load() }
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func `refuses another user's file`() async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            let file = "\(it.path)/master-key-1"
            #expect(chown(file, 65_534, 65_534) == 0)
            let error = #expect(throws: MasterKeyFolderError.foreignOwner(file)) { try it.folder.load() }
            #expect(error?.description.contains("chown") == true)
        }
    }

    @Test func `refuses a link, a folder and a pipe in a file's place`() async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            let file = "\(it.path)/master-key-2"
            #expect(symlink("\(it.path)/master-key-1", file) == 0)
            #expect(throws: MasterKeyFolderError.unreadable(file)) { try it.folder.load() }
            #expect(unlink(file) == 0)
            #expect(mkdir(file, 0o700) == 0)
            #expect(throws: MasterKeyFolderError.unreadable(file)) { try it.folder.load() }
        }
    }

    @Test(arguments: [(0o777, false), (0o770, false), (0o702, false), (0o1777, true), (0o755, true), (0o500, true)])
    func `is refused itself where others may rename files in it`(mode: Int, isTaken: Bool) async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            #expect(Glibc.chmod(it.path, mode_t(mode)) == 0)
            defer { _ = Glibc.chmod(it.path, 0o700) }
            if isTaken {
                #expect(try it.folder.load().versions == [1])
            } else {
                #expect(throws: MasterKeyFolderError.folderTooOpen(it.path)) { try it.folder.load() }
            }
        }
    }

    @Test func `holds nothing by any other name`() async throws {
        try await KeyFolder.run { it in
            #expect(throws: MasterKeyFolderError.noFolder(it.path)) { try it.folder.load() }
            it.folder.makeFolder()
            let names = [
                "master-key-0", "master-key-01", "master-key--1", "master-key-+1", "master-key-1.bak", "master-key-",
                "master-key-32768", ".master-key-2.abc", "Master-key-1", "master-key-1 ",
            ]
            for name in names { try it.write(KeyFolder.key, to: name) }
            #expect(throws: MasterKeyFolderError.empty(it.path)) { try it.folder.load() }
        }
    }

    @Test func `is never written over`() async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            let before = FileManager.default.contents(atPath: "\(it.path)/master-key-1")
            #expect(throws: MasterKeyFolderError.exists("\(it.path)/master-key-1")) {
                try it.folder.write([UInt8](repeating: 1, count: 32), version: 1)
            }
            #expect(FileManager.default.contents(atPath: "\(it.path)/master-key-1") == before)
            #expect(it.names == ["master-key-1"], "nothing is left beside it")
        }
    }

    @Test func `looks another whenever a file comes, goes, is written to or changes its mode`() async throws {
        try await KeyFolder.run { it in
            _ = try it.folder.initialise()
            var last = try it.folder.look()
            #expect(try it.folder.look() == last)
            let changes: [() throws -> Void] = [
                { try it.write("half", to: "master-key-2") },
                {
                    let file = try FileHandle(forWritingTo: URL(filePath: "\(it.path)/master-key-2"))
                    try file.seekToEnd()
                    try file.write(contentsOf: Data("more".utf8))
                    try file.close()
                },
                { try it.chmod(0o644, "master-key-2") },
                { try FileManager.default.removeItem(atPath: "\(it.path)/master-key-2") },
            ]
            for (index, change) in changes.enumerated() {
                try change()
                let look = try it.folder.look()
                #expect(look != last, "change \(index)")
                last = look
            }
        }
    }
}

@Suite("Master keys from a file descriptor") struct MasterKeySourceTests {
    private static let other = Base64URL.encode([UInt8](repeating: 8, count: 32))

    @Test func `come one a line with their versions; a file of the folder is version 1 as it is`() throws {
        let lines = "3 \(KeyFolder.key)\n1 \(Self.other)\n"
        #expect(try MasterKeySource.parse(Array(lines.utf8), from: 3).keys.sorted() == [1, 3])
        #expect(try MasterKeySource.parse(Array((KeyFolder.key + "\n").utf8), from: 3).keys.sorted() == [1])
    }

    @Test(arguments: [
        "", "\n\n", "1", "1 ", "0 KEY", "-1 KEY", "01 KEY", "+1 KEY", "32768 KEY", "one KEY", "1  KEY", "1 KEY x",
        "1 KEY\n1 KEY", "1 KEY\nKEY", "KEY\nKEY", "1 KEYA", "1\tKEY", "1:KEY",
    ])
    func `are refused whole where one line is none`(text: String) throws {
        let bytes = Array(text.replacing("KEY", with: KeyFolder.key).utf8)
        let error = #expect(throws: MasterKeyFolderError.self) { try MasterKeySource.parse(bytes, from: 7) }
        #expect(error?.description.contains("LATCHKEY_MASTER_KEY_FD is 7") == true)
    }

    @Test func `are read once, and the descriptor is closed`() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let line = Array("2 \(KeyFolder.key)\n".utf8)
        #expect(write(ends[1], line, line.count) == line.count)
        #expect(shutdown(ends[1], Int32(SHUT_WR)) == 0)
        #expect(try MasterKeySource.descriptor(ends[0]).load().versions == [2])
        // The end of the stream: nobody holds the other end any more.
        var byte: UInt8 = 0
        #expect(recv(ends[1], &byte, 1, Int32(MSG_DONTWAIT)) == 0)
        close(ends[1])
    }

    @Test func `are refused where the descriptor is not open`() {
        #expect(throws: MasterKeyFolderError.descriptor(60_000, "it is not open for reading")) {
            try MasterKeySource.descriptor(60_000).load()
        }
    }
}
