import Foundation
import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Testing

@testable import Latchkey

/// What an operator does beside the nodes of a test's installation.
struct MasterKeyScene {
    let it: TestInstallation

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    static let origin = Origin(actor: "test")

    var folder: MasterKeyFolder { MasterKeyFolder(it.settings.keysDirectory) }

    /// Runs `body` as a command would: a process of its own with the folder's keys.
    func command<R>(
        in folder: String? = nil, _ body: (Installation) async throws -> R
    ) async throws -> R {
        var settings = it.settings
        settings.keysDirectory = folder ?? it.settings.keysDirectory
        let installation = Installation(
            settings, as: .command, masterKeys: try settings.masterKeySource.load(), logger: Self.quiet,
            patience: 15_000_000_000)
        defer { installation.close() }
        try await installation.masterKeyRing.adopt()
        return try await body(installation)
    }

    @discardableResult
    func rotate(in folder: String? = nil) async throws -> Int16 {
        try await command(in: folder) { installation in
            try await installation.masterKeyRing.makeNext(
                .use, in: MasterKeyFolder(folder ?? it.settings.keysDirectory), origin: Self.origin)
        }
    }

    /// Rotates and waits until every node of the test has changed over.
    func rotateEverywhere() async throws -> Int16 {
        let version = try await rotate()
        let isInUse = await becomesTrue {
            it.nodes.allSatisfy { $0.installation.masterKeys.current == version }
        }
        try #require(isInUse)
        return version
    }

    func retire(_ version: Int16, _ force: MasterKeyAdministration.Force = .no) async throws {
        try await command { installation in
            try await installation.administration.retire(version, force, origin: Self.origin)
        }
    }

    /// What keeps the version from going; nil where it went.
    func refusal(of version: Int16, _ force: MasterKeyAdministration.Force = .no) async throws -> String? {
        do {
            try await retire(version, force)
            return nil
        } catch let conflict as MasterKeyConflict {
            return conflict.description
        }
    }

    /// As if so many seconds had passed since each version began to mint.
    func age(by seconds: Int64) async throws {
        try await it.database.query(
            "UPDATE master_keys SET minting_from = minting_from - \(seconds) * interval '1 second'")
        try await it.database.query("UPDATE key_ring SET version = version + 1")
    }

    /// As if every node's last tick were more than a minute ago.
    func forgetTicks() async throws {
        try await it.database.query("DELETE FROM node_ticks")
    }

    /// One more node with a folder of its own, a copy of what stands in the installation's now.
    func withNode(_ body: (TestNode, KeyFolder) async throws -> Void) async throws {
        try await KeyFolder.run { own in
            try FileManager.default.copyItem(atPath: it.settings.keysDirectory, toPath: own.path)
            var settings = it.settings
            settings.keysDirectory = own.path
            let node = try await TestNode.start(
                Installation(settings, masterKeys: try own.folder.load(), logger: Self.quiet))
            let result: Result<Void, any Error>
            do { result = .success(try await body(node, own)) } catch { result = .failure(error) }
            await node.stop()
            try result.get()
        }
    }

    func bring(_ version: Int16, to folder: KeyFolder) throws {
        try FileManager.default.copyItem(atPath: self.folder.file(version), toPath: folder.folder.file(version))
    }

    func sealed(under version: Int16) async throws -> Int64 {
        try await it.node.installation.signingKeys.count(sealedUnder: version)
    }

    /// The version that a refresh token names.
    static func version(of token: String) -> UInt16? {
        Base64URL.decode(token.utf8.dropFirst(5)).map { UInt16($0[24]) << 8 | UInt16($0[25]) }
    }
}

extension Installation {
    var administration: MasterKeyAdministration {
        MasterKeyAdministration(masterKeyRing, keys: signingKeys, clients: clients, users: users, sessions: sessions)
    }
}
