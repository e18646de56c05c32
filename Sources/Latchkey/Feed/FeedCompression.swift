import Dispatch
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization

/// How the body of an answer is coded on its way (RFC 9110 §8.4).
enum FeedCoding: String, Sendable {
    case identity, gzip

    /// gzip where the reader takes it: named, or by `*`, with a weight other than 0. Weights are not compared: who takes
    /// both gets the shorter.
    static func of(_ headers: HTTPFields) -> FeedCoding {
        var named: Bool?
        var any = false
        for part in headers[values: .acceptEncoding].flatMap({ $0.utf8.split(separator: UInt8(ascii: ",")) }) {
            let fields = part.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map { field in
                field.filter { $0 != 0x20 && $0 != 0x09 }.map { 0x41...0x5A ~= $0 ? $0 | 0x20 : $0 }
            }
            // `q=0`, `q=0.0` and so on.
            let isRefused = fields.dropFirst().contains { field in
                field.starts(with: Array("q=0".utf8)) && !field.contains { 0x31...0x39 ~= $0 }
            }
            if fields[0] == Array("gzip".utf8) || fields[0] == Array("x-gzip".utf8) { named = !isRefused }
            if fields[0] == Array("*".utf8) { any = !isRefused }
        }
        return named ?? any ? .gzip : .identity
    }
}

/// Entries compressed once for all who ask for them, on a thread of their own. What is the same has the same digest, so
/// that a list and what came behind a position at which many stand are found by that.
final class FeedCompression: Sendable {
    /// Fewer are sent as they are, and so are more: of a long list the binary form is no longer than its JSON compressed.
    static let counts = 32...FeedLists.mostEncoded
    private static let mostKept = 8

    private struct Key: Equatable {
        let form: FeedForm
        let digest: [UInt8]
    }

    /// The latest used last.
    private let kept = Mutex<[(key: Key, part: Gzip.Part)]>([])
    private let queue = DispatchQueue(label: "revocation-compression")

    /// How often something was compressed.
    let made = Counter()

    /// - Parameter encoded: the entries in that form, where somebody has them.
    /// - Returns: nil where they are to be sent as they are.
    func part(of entries: FeedMessage.Entries, _ form: FeedForm, encoded: ByteBuffer?) async -> Gzip.Part? {
        guard Self.counts.contains(entries.count) else { return nil }
        let key = Key(form: form, digest: entries.digest)
        if let part = recall(key) { return part }
        return await withCheckedContinuation { continuation in
            queue.async { [self] in
                continuation.resume(
                    returning: recall(key) ?? make(key, encoded ?? FeedLists.encode(entries, form)))
            }
        }
    }

    private func recall(_ key: Key) -> Gzip.Part? {
        kept.withLock { kept in
            guard let index = kept.firstIndex(where: { $0.key == key }) else { return nil }
            let found = kept.remove(at: index)
            kept.append(found)
            return found.part
        }
    }

    private func make(_ key: Key, _ bytes: ByteBuffer) -> Gzip.Part? {
        guard let part = Gzip.compress(bytes) else { return nil }
        made.add()
        kept.withLock { kept in
            kept.append((key, part))
            if kept.count > Self.mostKept { kept.removeFirst() }
        }
        return part
    }
}
