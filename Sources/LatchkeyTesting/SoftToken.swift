import Foundation
package import Latchkey
package import PKCS11
import Synchronization

/// A PKCS #11 token of SoftHSM (Debian's softhsm2) in a folder of this process's own. A test that needs one asks for it by
/// a label of its own.
package struct SoftToken: Sendable {
    package let label: String
    package static let pin = "1234-5678"
    /// Where SoftHSM keeps its objects.
    package let folder: String

    /// The library; nil where SoftHSM is not installed: `make test` installs it.
    package static let module = [
        "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ].first { FileManager.default.isReadableFile(atPath: $0) }

    package static var isInstalled: Bool { module != nil }

    /// A token that need not be there.
    package init(label: String, folder: String) {
        self.label = label
        self.folder = folder
    }

    package struct CannotMake: Error, CustomStringConvertible {
        package let description: String
    }

    /// Every label that a test may ask for: SoftHSM looks for tokens when it is initialised, and this process does that
    /// once.
    package enum Label: String, CaseIterable, Sendable {
        case signing, lost, pin, destroyed, missing, node, rotated, unreachable, hangs, left, restored, unfit, started
        case wrongPIN, movingIn, lists, unplugged, stolen, stuck, blinks, absent
    }

    private static let home = FileManager.default.temporaryDirectory.appending(
        path: "latchkey-tokens-\(ProcessInfo.processInfo.processIdentifier)"
    ).path
    private static let made = Mutex<Result<[Label: String], CannotMake>?>(nil)

    /// Makes the tokens at the first call, on a thread of its own.
    package static func named(_ label: Label) async throws -> SoftToken {
        let folders = try await withCheckedThrowingContinuation { continuation in
            Thread {
                let result = made.withLock { made in
                    let result = made ?? Result { () throws(CannotMake) in try makeAll() }
                    made = result
                    return result
                }
                continuation.resume(with: result)
            }.start()
        }
        guard let folder = folders[label] else { throw CannotMake(description: "no token \(label.rawValue)") }
        return SoftToken(label: "test \(label.rawValue)", folder: folder)
    }

    private static func makeAll() throws(CannotMake) -> [Label: String] {
        let tokens = "\(home)/tokens"
        let configuration = "\(home)/softhsm2.conf"
        do {
            try FileManager.default.createDirectory(atPath: tokens, withIntermediateDirectories: true)
            try "directories.tokendir = \(tokens)\nobjectstore.backend = file\nlog.level = ERROR\n".write(
                toFile: configuration, atomically: true, encoding: .utf8)
        } catch {
            throw CannotMake(description: "\(error)")
        }
        atexit { try? FileManager.default.removeItem(atPath: SoftToken.home) }
        // SoftHSM reads it in this process when it is initialised, and in the program below.
        setenv("SOFTHSM2_CONF", configuration, 1)
        var folders: [Label: String] = [:]
        // The last one is the token that is not there.
        for label in Label.allCases where label != .absent {
            try initialise("test \(label.rawValue)")
            let all = (try? FileManager.default.contentsOfDirectory(atPath: tokens)) ?? []
            folders[label] = all.map { "\(tokens)/\($0)" }.first { !folders.values.contains($0) }
        }
        return folders
    }

    private static func initialise(_ label: String) throws(CannotMake) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/softhsm2-util")
        process.arguments = ["--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", pin]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { throw CannotMake(description: "\(error)") }
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw CannotMake(description: "softhsm2-util ended with \(process.terminationStatus)")
        }
    }

    /// How many objects it holds: two for each key pair.
    package func objectCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: folder).count {
            $0.hasSuffix(".object") && $0 != "token.object"
        }
    }

    /// Takes the token away, as where it is unplugged: out of the folder that SoftHSM looks through.
    package func hide() throws { try FileManager.default.moveItem(atPath: folder, toPath: hidden) }

    package func show() throws { try FileManager.default.moveItem(atPath: hidden, toPath: folder) }

    /// Lets the token hang: SoftHSM reads its objects from files, and these are pipes now that nobody writes to.
    package func freeze() throws {
        for object in try objects() {
            try FileManager.default.moveItem(atPath: object, toPath: object + ".kept")
            guard mkfifo(object, 0o600) == 0 else { throw CannotMake(description: "no pipe at \(object)") }
        }
    }

    /// Gives the files back, and an end to whoever reads a pipe.
    package func thaw() throws {
        for object in try objects() {
            // It is named until its readers are let go.
            let pipe = object + ".pipe"
            guard link(object, pipe) == 0, rename(object + ".kept", object) == 0 else {
                throw CannotMake(description: "\(object) stays away")
            }
            let descriptor = open(pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            guard descriptor >= 0 else { throw CannotMake(description: "\(pipe) cannot be opened") }
            close(descriptor)
            unlink(pipe)
        }
    }

    private func objects() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).filter {
            $0.hasSuffix(".object") && $0 != "token.object"
        }
        .map { "\(folder)/\($0)" }
    }

    private var hidden: String { "\(Self.home)/hidden-\((folder as NSString).lastPathComponent)" }

    /// As a node is told of it.
    package func settings(pin: String = SoftToken.pin) -> TokenSettings {
        TokenSettings(module: Self.module ?? "", label: label, pin: pin)
    }

    package func opened(pin: String = SoftToken.pin) -> SecurityToken {
        SecurityToken(settings(pin: pin))
    }
}
