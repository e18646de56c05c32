import Foundation
import JOSE
import LibCrypto

/// Where a process has its master keys from.
package enum MasterKeySource: Sendable, Equatable {
    /// Looked at again every second.
    case folder(String)
    /// Read once, at the start: a new version needs a new start.
    case descriptor(Int32)

    /// Reads them all.
    /// - Throws: `MasterKeyFolderError`.
    package func load() throws -> MasterKeys {
        switch self {
        case .folder(let path): try MasterKeyFolder(path).load()
        case .descriptor(let number): try MasterKeys(Self.read(number))
        }
    }

    /// How an operator finds it.
    package var place: String {
        switch self {
        case .folder(let path): path
        case .descriptor(let number): "file descriptor \(number)"
        }
    }

    /// More than any installation has versions, and less than fills a pipe.
    private static let longest = 16_384

    /// A line for each key: its version, a space, 32 bytes in base64url. A line without a version is version 1, so that a
    /// file of `keys/` can be handed over as it is.
    private static func read(_ number: Int32) throws(MasterKeyFolderError) -> [Int16: SecretBytes] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Foundation.read(number, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .descriptor(number, "it is not open for reading") }
            if count == 0 { break }
            bytes += buffer[..<count]
            guard bytes.count <= longest else { throw .descriptor(number, "more than \(longest) bytes came from it") }
        }
        // Nothing that this process starts shall inherit it, and nothing in it shall read it again.
        close(number)
        return try parse(bytes, from: number)
    }

    static func parse(_ bytes: [UInt8], from number: Int32) throws(MasterKeyFolderError) -> [Int16: SecretBytes] {
        var keys: [Int16: SecretBytes] = [:]
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n")).enumerated() {
            let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            let name = words.count == 2 ? String(decoding: words[0], as: UTF8.self) : "1"
            guard words.count <= 2, let version = Int16(name), version > 0, name == "\(version)",
                let text = words.last, let key = Base64URL.decode(text), key.count == MasterKeys.length
            else { throw .descriptor(number, "line \(index + 1) holds no master key") }
            guard keys.updateValue(SecretBytes(key), forKey: version) == nil else {
                throw .descriptor(number, "version \(version) came twice")
            }
        }
        guard !keys.isEmpty else { throw .descriptor(number, "nothing came from it") }
        return keys
    }
}
